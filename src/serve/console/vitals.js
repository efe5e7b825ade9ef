// How the job is doing: rates, how far behind the watermark is, how long look-ups take. Worked out
// from /metrics, as any other program would.
import { html, useRef, useState } from "./preact.js";
import { askText, usePoll } from "./api.js";
import { count, rough, span, time } from "./format.js";
import { Spark } from "./list.js";

const EVERY_MS = 1_000;
/** Two minutes. */
const KEPT = 120;
/** Over how many looks the times of look-ups are taken together. */
const LOOKS = 10;

/** The samples of an OpenMetrics text: name -> [[labels, value]]. */
export function samples(text) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const parts = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (!parts) continue;
    const [, name, labels = "", value] = parts;
    if (!found.has(name)) found.set(name, []);
    found.get(name).push([labels, Number(value)]);
  }
  return found;
}

/** The time within which a share of what was measured between two looks was done, in ms. */
function quantile(now, before, share) {
  const bound = ([labels]) => Number(/le="([^"]+)"/.exec(labels)[1].replace("+Inf", "Infinity"));
  const earlier = new Map((before ?? []).map((it) => [bound(it), it[1]]));
  const buckets = now.map((it) => [bound(it), it[1] - (earlier.get(bound(it)) ?? 0)]);
  const total = buckets.at(-1)?.[1] ?? 0;
  if (total <= 0) return undefined;
  let [low, under] = [0, 0];
  for (const [high, upTo] of buckets) {
    if (upTo >= share * total) {
      if (high === Infinity) return low * 1_000;
      return (low + ((share * total - under) / (upTo - under)) * (high - low)) * 1_000;
    }
    [low, under] = [high, upTo];
  }
  return undefined;
}

/** What is measured, each second. */
export function useVitals() {
  const [vitals, show] = useState({ history: [] });
  const last = useRef();
  const looks = useRef([]);
  usePoll(EVERY_MS, async (signal) => {
    const found = samples(await askText("/metrics", { signal }));
    const one = (name) => found.get(`rivulet_${name}`)?.[0][1];
    const now = {
      at: performance.now(),
      read: one("records_read_total"),
      applied: one("records_applied_total"),
      differences: one("differences_total"),
      late: one("records_late_total"),
      rejected: one("records_rejected_total"),
      duplicate: one("records_duplicate_total"),
      watermark: one("watermark_seconds") && one("watermark_seconds") * 1_000,
      buckets: found.get("rivulet_lookup_seconds_bucket") ?? [],
      connections: one("http_connections"),
      checkpointAge: one("checkpoint_age_seconds") * 1_000,
      toRead: found.get("rivulet_partition_lag_records")?.reduce((sum, [, lag]) => sum + lag, 0),
    };
    const before = last.current;
    // Right after a token was given, hardly any time has passed.
    if (before && now.at - before.at < EVERY_MS / 2) return;
    last.current = now;
    const rate = (key) => before && ((now[key] - before[key]) * 1_000) / (now.at - before.at);
    const measured = {
      records: rate("read"),
      differences: rate("differences"),
      lag: now.watermark && Date.now() - now.watermark,
      p50: quantile(now.buckets, looks.current[0], 0.5),
      p99: quantile(now.buckets, looks.current[0], 0.99),
    };
    looks.current = [...looks.current, now.buckets].slice(-LOOKS);
    show(({ history }) => ({ now, ...measured, history: [...history, measured].slice(-KEPT) }));
  });
  return vitals;
}

function Tile({ title, value, unit, under, values }) {
  return html`
    <div class="tile">
      <h2>${title}${unit && ` ${unit}`}</h2>
      <p class="figure">${value}</p>
      <p class="under">${under}</p>
      <${Spark} values=${values.filter(Number.isFinite)} width=${140} height=${36} />
    </div>`;
}

export function Vitals({ vitals }) {
  const { now = {}, history } = vitals;
  const of = (key) => history.map((it) => it[key]);
  return html`
    <section class="vitals" aria-label="How the job is doing">
      <${Tile} title="Records" value=${rough(vitals.records)} unit="a second" values=${of("records")}
        under=${`${count(now.read)} read${now.toRead ? `, ${count(now.toRead)} to be read` : ""}`} />
      <${Tile} title="Differences" value=${rough(vitals.differences)} unit="a second" values=${of("differences")}
        under=${`${count(now.differences)} given out`} />
      <${Tile} title="Watermark lag" value=${span(vitals.lag)} values=${of("lag")} under=${`at ${time(now.watermark).slice(0, 19)}`} />
      <${Tile} title="Look-ups, p99" value=${span(vitals.p99)} values=${of("p99")} under=${`half within ${span(vitals.p50)}`} />
    </section>`;
}
