// All segments: their sizes as they change, and which of them drift.
import { html, useMemo, useRef, useState } from "./preact.js";
import { ask, at, usePoll } from "./api.js";
import { count, plural, rough, signed, time } from "./format.js";
import { List, Spark } from "./list.js";

const EVERY_MS = 2_000;
/** Few enough to be read within a frame: between pages the page is drawn. */
const PAGE = 2_000;
/** Sizes kept of each, and how many of them are drawn. */
const KEPT = 60;
/** Keeps a sign ahead of its number where a text begins at the right (the mark U+200E). */
const AHEAD = "\u200e";
/** A row's height; style.css has it too. */
const ROW = 52;

/** All segments there are, with what their sizes were since the page was opened. */
export function useSegments() {
  const [segments, show] = useState(null);
  const [asOf, showAsOf] = useState(null);
  const sizes = useRef(new Map());
  usePoll(EVERY_MS, async (signal) => {
    const all = [];
    let after = "";
    let time;
    do {
      const page = await ask(`/v1/segments?limit=${PAGE}${after && at`&after=${after}`}`, { signal });
      all.push(...page.segments);
      [after, time] = [page.next, page.as_of];
    } while (after);
    const now = Date.now();
    const before = sizes.current;
    sizes.current = new Map();
    for (const segment of all) {
      const kept = before.get(segment.id) ?? { times: [], sizes: [] };
      if (kept.sizes.push(segment.size) > KEPT) kept.sizes.shift();
      if (kept.times.push(now) > KEPT) kept.times.shift();
      sizes.current.set(segment.id, kept);
      segment.past = kept.sizes;
      segment.times = kept.times;
      segment.change = segment.size - kept.sizes[0];
    }
    show(all);
    showAsOf(time);
  });
  return { segments, asOf };
}

const ORDERS = {
  id: ["Name", (a, b) => (a.id < b.id ? -1 : 1)],
  size: ["Largest first", (a, b) => b.size - a.size || (a.id < b.id ? -1 : 1)],
  drift: ["Drifting first", (a, b) => !a.drift - !b.drift || (a.id < b.id ? -1 : 1)],
  change: ["Most changed", (a, b) => Math.abs(b.change) - Math.abs(a.change) || (a.id < b.id ? -1 : 1)],
};

/** What a drift means, in words. */
const usual = ({ low, high, since }) => `usually ${rough(low)} to ${rough(high)}; not since ${time(since)}`;

export function Segments({ segments, chosen, onChoose, onNew }) {
  const [filter, setFilter] = useState("");
  const [order, setOrder] = useState("id");
  const shown = useMemo(() => {
    const wanted = filter.trim().toLowerCase();
    const is = (it) => !wanted || it.id.toLowerCase().includes(wanted) || it.name?.toLowerCase().includes(wanted);
    return (segments ?? []).filter(is).sort(ORDERS[order][1]);
  }, [segments, filter, order]);
  const active = shown.findIndex((it) => it.id === chosen);

  const row = (index) => {
    const { id, name, size, past, change, drift } = shown[index];
    return html`
      <span class="names">
        <span class="name">${name ?? id}</span>
        <span class="id">${id}${drift && html` <span class="flag" title=${usual(drift)}>drift<span class="unseen">: ${usual(drift)}</span></span>`}</span>
      </span>
      <${Spark} values=${past} width=${64} />
      <span class="sizes">
        <span class="size">${count(size)}</span>
        <span class=${`change ${change > 0 ? "in" : change < 0 ? "out" : ""}`}>${AHEAD}${signed(change)}</span>
      </span>`;
  };
  return html`
    <section class="panel segments" id="segments" aria-labelledby="segments-title" tabindex="-1">
      <header>
        <h2 id="segments-title">Segments</h2>
        <span class="note">${segments && plural(shown.length, "segment")}</span>
        <button type="button" onClick=${onNew}>New</button>
      </header>
      <div class="bar">
        <label class="grow"><span class="unseen">Search segments</span>
          <input id="search" type="search" placeholder="Search" value=${filter} autocomplete="off" spellcheck=${false}
            onInput=${(event) => setFilter(event.target.value)} />
        </label>
        <label><span class="unseen">Order</span>
          <select value=${order} onChange=${(event) => setOrder(event.target.value)}>
            ${Object.entries(ORDERS).map(([key, [label]]) => html`<option value=${key}>${label}</option>`)}
          </select>
        </label>
      </div>
      <${List} id="segment-list" label="Segments" count=${shown.length} height=${ROW} row=${row} active=${active}
        onActive=${(index) => onChoose(shown[index].id)}
        empty=${segments ? (filter ? "None has this in its name." : "There are none yet.") : "Asking…"} />
    </section>`;
}
