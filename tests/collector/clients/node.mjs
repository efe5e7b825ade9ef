// Segment's client for Node, as its documentation has it used; only the host is another.
//
//     node.mjs MODULES HOST WRITE_KEY USER
import { createRequire } from 'node:module'

const [modules, host, writeKey, userId] = process.argv.slice(2)
const { Analytics } = createRequire(`${modules}/`)('@segment/analytics-node')
const analytics = new Analytics({ writeKey, host, maxRetries: 3 })
const failures = []
analytics.on('error', (error) => failures.push(`${error.code}: ${error.reason}`))

analytics.identify({ userId, traits: { plan: 'pro' } })
for (const amount of [80, 40]) {
  analytics.track({ userId, event: 'purchase', properties: { amount } })
}
analytics.page({ userId, category: 'Docs', name: 'Node', properties: { path: '/' } })
analytics.screen({ userId, category: 'Docs', name: 'Node', properties: { path: '/' } })
analytics.group({ userId, groupId: 'acme', traits: { plan: 'free' } })
analytics.alias({ userId, previousId: 'anonymous' })
await analytics.closeAndFlush()
if (failures.length) {
  console.error(failures.join('\n'))
  process.exit(1)
}
