// Records that had no effect, and why: the last that came too late, and those not understood.
import { html, useState } from "./preact.js";
import { ask, usePoll } from "./api.js";
import { count, time } from "./format.js";

const EVERY_MS = 2_000;
const SHOWN = 100;

const KINDS = { rejected: "Rejected", late: "Late" };

export function Records({ offers, vitals }) {
  const kinds = Object.keys(KINDS).filter((kind) => offers.has(`/v1/${kind}`));
  const [kind, choose] = useState(kinds[0]);
  const [records, show] = useState(null);
  usePoll(EVERY_MS, async (signal) => {
    const answer = await ask(`/v1/${kind}?limit=${SHOWN}`, { signal });
    show(answer[kind]);
  }, [kind]);
  const change = (next) => {
    show(null);
    choose(next);
  };
  const total = (it) => vitals.now?.[it];
  return html`
    <section class="panel records" id="records" aria-labelledby="records-title" tabindex="-1">
      <header>
        <h2 id="records-title">Records without effect</h2>
        <div class="choice" role="group" aria-label="Which">
          ${kinds.map((it) => html`
            <button type="button" aria-pressed=${it === kind} onClick=${() => change(it)}>
              ${KINDS[it]} <span class="figures">${count(total(it))}</span>
            </button>`)}
        </div>
      </header>
      <div class="scroll" tabindex="0" role="region" aria-label=${`${KINDS[kind]} records, the newest first`}>
        ${records?.length === 0 && html`<p class="empty">${kind === "late" ? "None came too late." : "All were understood."}</p>`}
        <ul>
          ${(records ?? []).map((it) => html`
            <li key=${`${it.source} ${it.partition} ${it.offset}`}>
              <p class="reason">${it.late_by ? html`<span class="by">${it.late_by} late</span> ` : ""}${it.reason}</p>
              <p class="where">${it.source === "-" ? "standard input" : it.source}, partition ${it.partition}, offset ${count(it.offset)}${it.time != null ? `, of ${time(it.time)}` : ""}</p>
              <pre>${it.record}</pre>
            </li>`)}
        </ul>
      </div>
    </section>`;
}
