// Segment's client for pages, in a browser without a window, on a page of its own origin.
//
//     browser.mjs MODULES HOST WRITE_KEY USER [batching]
//
// The page is only told where the collector is (cdnURL); where to send it asks there. At its end it
// leaves, after a beacon.
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { createRequire } from 'node:module'

const [modules, host, writeKey, userId, delivery] = process.argv.slice(2)
const puppeteer = createRequire(`${modules}/`)('puppeteer-core')
const bundles = join(modules, 'node_modules/@segment/analytics-next/dist/umd')
const page = `<!doctype html><title>Shop</title><script src="/index.js"></script>`
const server = createServer(async (request, response) => {
  const name = basename(new URL(request.url, 'http://page').pathname)
  if (!name.endsWith('.js')) {
    response.setHeader('Content-Type', 'text/html').end(name === '' ? page : '')
    return
  }
  response.setHeader('Content-Type', 'text/javascript').end(await readFile(join(bundles, name)))
})
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))

const browser = await puppeteer.launch({
  executablePath: execFileSync('which', ['chromium'], { encoding: 'utf8' }).trim(),
  headless: true,
  args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'],
  timeout: 60_000,
})
try {
  const tab = await browser.newPage()
  const failures = []
  tab.on('pageerror', (error) => failures.push(`page: ${error}`))
  tab.on('requestfailed', (it) => failures.push(`${it.url()}: ${it.failure()?.errorText}`))
  tab.on('response', (it) => it.status() >= 400 && failures.push(`${it.url()}: ${it.status()}`))
  await tab.goto(`http://127.0.0.1:${server.address().port}/`)
  await tab.evaluate(
    async (host, writeKey, userId, delivery) => {
      const deliveryStrategy = { strategy: 'batching', config: { size: 3, timeout: 200 } }
      const integrations = delivery ? { 'Segment.io': { deliveryStrategy } } : {}
      const settings = { writeKey, cdnURL: host }
      const [analytics] = await window.AnalyticsNext.AnalyticsBrowser.load(settings, {
        integrations,
      })
      await analytics.identify(userId, { plan: 'pro' })
      await analytics.track('purchase', { amount: 80 })
      await analytics.track('purchase', { amount: 40 })
      await analytics.page('Docs', 'Browser', { path: '/' })
      await analytics.screen('Docs', 'Browser', { path: '/' })
      await analytics.group('acme', { plan: 'free' })
      await analytics.alias(userId, 'anonymous')
    },
    host,
    writeKey,
    userId,
    delivery,
  )
  const beacon = { type: 'track', userId: `${userId}-leaving`, event: 'purchase', writeKey }
  beacon.properties = { amount: 400 }
  const isQueued = await tab.evaluate(
    (url, text) => navigator.sendBeacon(url, text),
    `${host}/v1/t`,
    JSON.stringify(beacon),
  )
  if (!isQueued) failures.push('the beacon was not taken')
  await tab.waitForNetworkIdle({ idleTime: 1_000, timeout: 60_000 })
  if (failures.length) throw new Error(failures.join('\n'))
} finally {
  await browser.close()
  server.close()
}
