// One segment: how large it is and was, its rule to be edited, who is in it, what it was before.
import { html, useEffect, useMemo, useRef, useState } from "./preact.js";
import { Refused, ask, at, usePoll } from "./api.js";
import { ConfirmDialog } from "./dialogs.js";
import { Editor } from "./editor.js";
import { count, plural, rough, signed, span, time } from "./format.js";
import { List } from "./list.js";
import { Overlap } from "./overlap.js";
import { gather } from "./words.js";

const CHECK_AFTER_MS = 250;
const MEMBERS_PAGE = 1_000;
const ROW = 32;

const EXAMPLES = {
  "An attribute": { attribute: "plan", op: "eq", value: "pro" },
  "Events in a window": { event: "purchase", aggregate: "count", window: "7d", op: "gte", value: 3 },
  "A sum in a window": { event: "purchase", aggregate: "sum", property: "amount", window: "30d", op: "gt", value: 100 },
  "A sequence": { sequence: [{ event: "add_to_cart" }, { event: "purchase" }], within: "1h", window: "1d" },
  "Other segments": { operator: "AND", conditions: [{ segment: "one" }, { operator: "NOT", conditions: [{ segment: "other" }] }] },
};

/** The order in which people read a definition; other keys follow. */
const ORDER = ["id", "name", "description", "rules", "operator", "conditions", "event", "where", "aggregate", "attribute", "property", "sequence", "within", "window", "op", "value"];
const rank = ([key]) => (ORDER.includes(key) ? ORDER.indexOf(key) : ORDER.length);

function inOrder(json) {
  if (Array.isArray(json)) return json.map(inOrder);
  if (typeof json !== "object" || json === null) return json;
  const entries = Object.entries(json).sort((a, b) => rank(a) - rank(b));
  return Object.fromEntries(entries.map(([key, value]) => [key, inOrder(value)]));
}

/** A definition as it is shown: in order, what is short on a line of its own. */
function written(definition) {
  const lines = (json, ahead) => {
    const short = JSON.stringify(json, null, 1).replace(/\n\s*/g, " ");
    if (typeof json !== "object" || json === null || (ahead && short.length + ahead.length < 60)) return short;
    const inner = `${ahead}  `;
    const isList = Array.isArray(json);
    const parts = isList ? json.map((it) => lines(it, inner)) : Object.entries(json).map(([key, value]) => `${JSON.stringify(key)}: ${lines(value, inner)}`);
    return parts.length ? `${isList ? "[" : "{"}\n${inner}${parts.join(`,\n${inner}`)}\n${ahead}${isList ? "]" : "}"}` : short;
  };
  return lines(inOrder(definition), "");
}

export function Segment({ id, isNew, segments, offers, onSaved, onDeleted, onUser }) {
  const [about, show] = useState(null);
  const [wrong, setWrong] = useState(null);
  const [tab, choose] = useState("rule");
  const known = useMemo(() => segments?.find((it) => it.id === id), [segments, id]);

  usePoll(4_000, async (signal) => {
    if (isNew || !id) return;
    try {
      show(await ask(at`/v1/segments/${id}`, { signal }));
      setWrong(null);
    } catch (error) {
      if (error instanceof Refused) setWrong(error);
      throw error;
    }
  }, [id, isNew]);

  const tabs = { rule: "Rule", members: "Members", past: "Versions" };
  if (offers.has("/v1/overlap")) tabs.overlap = "Overlap";
  const shown = isNew ? "rule" : tab;
  const pressed = (event) => {
    const names = Object.keys(tabs);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = names[(names.indexOf(tab) + step + names.length) % names.length];
    choose(next);
    document.getElementById(`tab-${next}`).focus();
  };

  const isOurs = about?.id === id;
  if (!isNew && !id) return html`
    <section class="panel segment" id="segment" aria-labelledby="segment-title" tabindex="-1">
      <header><h2 id="segment-title">Segment</h2></header>
      <p class="empty">Choose a segment to see its rule, who is in it, and how large it is.</p>
    </section>`;
  return html`
    <section class="panel segment" id="segment" aria-labelledby="segment-title" tabindex="-1">
      <header>
        <h2 id="segment-title">${isNew ? "New segment" : (known?.name ?? (isOurs && about.name)) || id}</h2>
        ${!isNew && html`<span class="note">${(isOurs && about.description) || id}</span>`}
      </header>
      ${!isNew && html`<${Standing} about=${isOurs ? about : null} known=${known} offers=${offers} id=${id} />`}
      ${!isNew && html`
        <div class="tabs" role="tablist" aria-label="About the segment" onKeyDown=${pressed}>
          ${Object.entries(tabs).map(([key, label]) => html`
            <button type="button" role="tab" id=${`tab-${key}`} aria-selected=${shown === key} aria-controls="tab-panel"
              tabindex=${shown === key ? 0 : -1} onClick=${() => choose(key)}>${label}</button>`)}
        </div>`}
      <div class="tab-panel" id="tab-panel" role=${isNew ? undefined : "tabpanel"} aria-labelledby=${isNew ? undefined : `tab-${shown}`}>
        ${wrong?.status === 404 && !isNew && html`<p class="empty">There is no such segment by now.</p>`}
        ${shown === "rule" && (isNew || isOurs) && html`
          <${Rule} key=${isNew ? "" : id} id=${isNew ? "" : id} about=${isNew ? null : about} segments=${segments} offers=${offers}
            onSaved=${onSaved} onDeleted=${onDeleted} />`}
        ${shown === "members" && html`<${Members} key=${id} id=${id} size=${known?.size} onUser=${onUser} />`}
        ${shown === "past" && html`<${Versions} key=${id} id=${id} version=${about?.version} />`}
        ${shown === "overlap" && html`<${Overlap} key=${id} id=${id} segments=${segments} />`}
      </div>
    </section>`;
}

/** Its size now and before, and since when that can be trusted. */
function Standing({ about, known, offers, id }) {
  const [past, setPast] = useState(null);
  const hasSizes = offers.has("/v1/segments/{id}/sizes");
  usePoll(5_000, async (signal) => {
    if (!hasSizes) return;
    const { steps, size, as_of: asOf } = await ask(at`/v1/segments/${id}/sizes`, { signal });
    const points = [...steps.map((it) => [it.until, it.size]), [asOf, size]];
    setPast({ id, times: points.map(([when]) => when), sizes: points.map((it) => it[1]) });
  }, [id, hasSizes]);
  const complete = about?.complete_from;
  const ofLate = about?.volatility;
  const points = past?.id === id && past.sizes.length > 1 ? past : { times: known?.times ?? [], sizes: known?.past ?? [] };
  return html`
    <div class="standing">
      <div class="now">
        <p class="figure">${count(known?.size)}</p>
        <p class="note">${known?.size === 1 ? "user" : "users"}${known?.drift && html`, <span class="drifts">usually ${rough(known.drift.low)} to ${rough(known.drift.high)}</span>`}</p>
      </div>
      <dl>
        ${ofLate ? html`<div><dt>Within the hour</dt><dd>+${rough(ofLate.entered)} −${rough(ofLate.left)}</dd></div>`
          : html`<div><dt>Since opened</dt><dd>${known ? signed(known.change) : "–"}</dd></div>`}
        <${Moment} word="In force since" at=${about?.in_force_since} otherwise="the start" />
        ${complete === "never" ? html`<div><dt>Counts from</dt><dd>when it was saved</dd></div>`
          : html`<${Moment} word=${complete == null ? "Exact" : "Exact from"} at=${complete} otherwise="yes" />`}
      </dl>
      <${Chart} times=${points.times} sizes=${points.sizes} />
    </div>`;
}

/** A time to the minute; what is after that stands in the title. */
function Moment({ word, at: when, otherwise }) {
  return html`<div><dt>${word}</dt>${when == null ? html`<dd>${otherwise}</dd>` : html`<dd title=${time(when)}>${time(when).slice(0, 16)}</dd>`}</div>`;
}

/** Times below the chart: of the day, or the day where there are several. */
function moments(_, splits) {
  const isLong = splits.at(-1) - splits[0] > 2 * 86_400;
  return splits.map((it) => time(it * 1_000).slice(...(isLong ? [5, 10] : [11, 19])));
}

/** The sizes over time. */
function Chart({ times, sizes }) {
  const host = useRef();
  const made = useRef();
  const data = [times.map((it) => it / 1_000), sizes];
  const latest = useRef();
  latest.current = data;
  useEffect(() => {
    let isGone = false;
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const watching = new ResizeObserver(() => host.current && made.current?.setSize({ width: host.current.clientWidth, height: 104 }));
    const draw = async () => {
      const { default: Plot } = await import("./uplot.js");
      if (isGone) return;
      made.current?.destroy();
      const colour = (name) => getComputedStyle(host.current).getPropertyValue(name).trim();
      const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
      made.current = new Plot({
        width: host.current.clientWidth, height: 104, legend: { show: false }, cursor: { y: false, drag: { x: false, y: false } }, padding: [8, 8, 0, 0],
        tzDate: (seconds) => Plot.tzDate(new Date(seconds * 1_000), "Etc/UTC"),
        scales: { y: { range: (_, low, high) => (low === high ? [Math.max(0, low - 1), high + 1] : [low, high]) } },
        axes: [{ ...axis, size: 26, space: 70, values: moments, incrs: [1, 2, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000] }, { ...axis, size: 52, space: 28, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7, 1e8], values: (_, splits) => splits.map(rough) }],
        series: [{}, { stroke: colour("--accent"), fill: colour("--shade"), width: 1.5, paths: Plot.paths.stepped({ align: 1 }), points: { show: false } }],
      }, latest.current, host.current);
    };
    draw();
    watching.observe(host.current);
    dark.addEventListener("change", draw);
    return () => {
      isGone = true;
      watching.disconnect();
      dark.removeEventListener("change", draw);
      made.current?.destroy();
    };
  }, []);
  useEffect(() => made.current?.setData(data));
  const low = sizes.length ? Math.min(...sizes) : 0;
  const high = sizes.length ? Math.max(...sizes) : 0;
  return html`<div class="chart" ref=${host} role="img" aria-label=${`Size over time, between ${count(low)} and ${count(high)}`}></div>`;
}

function Rule({ id, about, segments, offers, onSaved, onDeleted }) {
  const blank = written({ id: "", name: "", rules: EXAMPLES["An attribute"] });
  const standing = about ? written(about.definition) : blank;
  const [text, setText] = useState(standing);
  const [version, setVersion] = useState(0);
  const typed = useRef(standing);
  const [base, setBase] = useState(standing);
  const [faults, setFaults] = useState([]);
  const [checked, setChecked] = useState(null);
  const [said, say] = useState(null);
  const [estimate, setEstimate] = useState(null);
  const [isAsking, setAsking] = useState(false);
  const known = useRef();
  known.current = segments ?? [];

  // What others save is shown, unless something else is being written.
  useEffect(() => {
    if (standing === base) return;
    if (text === base) put(standing);
    setBase(standing);
  }, [standing]);

  useEffect(() => {
    if (!offers.has("/v1/check")) return;
    const aborting = new AbortController();
    const timer = setTimeout(async () => {
      try {
        await ask(id ? at`/v1/check?id=${id}` : "/v1/check", { method: "POST", body: text, signal: aborting.signal });
        setFaults([]);
        setChecked("fine");
      } catch (error) {
        if (!(error instanceof Refused)) return;
        setFaults(faultsOf(error));
        setChecked("wrong");
      }
    }, CHECK_AFTER_MS);
    return () => {
      clearTimeout(timer);
      aborting.abort();
    };
  }, [text, offers]);

  const changed = (next) => {
    if (next === typed.current) return;
    typed.current = next;
    setText(next);
    say(null);
    setEstimate(null);
  };
  /** Puts something in place of what stands in the editor. */
  const put = (next) => {
    typed.current = next;
    setText(next);
    setVersion((it) => it + 1);
  };
  const save = async () => {
    let under = id;
    try {
      under ||= String(JSON.parse(text).id ?? "");
    } catch {
      // The server says what is wrong with it.
    }
    if (!under) return say({ bad: "Give it an id first." });
    say({ good: "Saving…" });
    try {
      const { status, version, size, in_force_since: since } = await ask(at`/v1/segments/${under}`, { method: "PUT", body: text });
      setBase(text);
      say({ good: status === "in_force"
        ? `Saved as version ${version}, in force since ${time(since)}: ${plural(size, "user")}.`
        : `Saved as version ${version}. It comes into force as soon as time goes on in the job.` });
      setFaults([]);
      onSaved(under);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setFaults(faultsOf(error));
      say({ bad: error.faults.length ? "Not saved." : `Not saved: ${error.message}` });
    }
  };
  const remove = async () => {
    try {
      await ask(at`/v1/segments/${id}`, { method: "DELETE" });
      onDeleted(id);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      say({ bad: `Not deleted: ${error.message}` });
    }
  };
  const guess = async () => {
    try {
      setEstimate({ answer: await ask("/v1/estimate", { method: "POST", body: text }) });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setEstimate({ error });
    }
  };
  const tidy = () => {
    try {
      put(written(JSON.parse(text)));
    } catch {
      say({ bad: "It is not JSON yet." });
    }
  };
  const isChanged = text !== base;
  return html`
    <div class="rule">
      ${!id && html`
        <div class="bar examples" role="group" aria-label="Begin with">
          ${Object.entries(EXAMPLES).map(([name, rules]) => html`<button type="button" onClick=${() => put(withRules(text, rules))}>${name}</button>`)}
        </div>`}
      <${Editor} label=${id ? `Rule of ${id}, JSON` : "New rule, JSON"} value=${text} version=${version} faults=${faults} words=${() => gather(() => known.current)} onChange=${changed} onSave=${save} />
      <div class="verdict" role="status">
        ${faults.length > 0
          ? html`<ul class="faults">${faults.map((it) => html`<li><code>${it.path || "definition"}</code> ${it.found ? html`found ${it.found}; allowed: ${it.allowed}` : it.message}${it.hint && html`<em> ${it.hint}</em>`}</li>`)}</ul>`
          : said ? html`<p class=${said.bad ? "bad" : "good"}>${said.bad ?? said.good}</p>`
          : html`<p>${checked === "fine" ? (isChanged ? "This can be saved." : "As saved.") : offers.has("/v1/check") ? "Checking…" : ""}</p>`}
        ${faults.length > 0 && said?.bad && html`<p class="bad">${said.bad}</p>`}
        ${estimate && html`<${Estimate} ...${estimate} />`}
      </div>
      <div class="actions">
        ${id && html`<button type="button" class="danger quiet" onClick=${() => setAsking(true)}>Delete</button>`}
        <span class="grow"></span>
        <button type="button" onClick=${tidy}>Tidy</button>
        ${id && html`<button type="button" disabled=${!isChanged} onClick=${() => put(base)}>Revert</button>`}
        ${offers.has("/v1/estimate") && html`<button type="button" disabled=${faults.length > 0} onClick=${guess}>Estimate</button>`}
        <button type="button" class="main" disabled=${!isChanged || faults.length > 0} onClick=${save}>Save</button>
      </div>
      ${isAsking && html`<${ConfirmDialog} title=${`Delete ${id}?`} text="All its members leave, and every consumer is told so. Its versions are kept." word="Delete"
        onConfirm=${remove} onClose=${() => setAsking(false)} />`}
    </div>`;
}

const faultsOf = (error) => (error.faults.length ? error.faults : [{ path: error.path ?? "", message: error.message, hint: error.hint }]);

function withRules(text, rules) {
  try {
    return written({ ...JSON.parse(text), rules });
  } catch {
    return written({ id: "", name: "", rules });
  }
}

function Estimate({ answer, error }) {
  if (error) return html`<p class="bad">No estimate: ${error.message}</p>`;
  const { size, low, high, sampled, users } = answer;
  const known = html`<b>${plural(Math.round(size), "user")}</b>`;
  if (sampled === users) return html`<p class="good">${known} of ${count(users)} would be in it now.</p>`;
  return html`<p class="good">About ${known} of ${count(users)} would be in it now: ${count(Math.floor(low))} to ${count(Math.ceil(high))} with 95 % certainty, from a sample of ${count(sampled)}.</p>`;
}

/** Who is in it, page by page as one scrolls. */
function Members({ id, size, onUser }) {
  const [users, show] = useState([]);
  const [next, setNext] = useState("");
  const [active, setActive] = useState(-1);
  const [isFetching, setFetching] = useState(false);
  const fetchMore = async () => {
    if (next === null || isFetching) return;
    setFetching(true);
    try {
      const page = await ask(at`/v1/segments/${id}/users?limit=${MEMBERS_PAGE}` + (next && at`&after=${next}`));
      show([...users, ...page.users]);
      setNext(page.next);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setNext(null);
    }
    setFetching(false);
  };
  useEffect(() => { fetchMore(); }, []);
  return html`
    <div class="members">
      <div class="bar"><span class="note grow">${plural(users.length, "user")} of ${count(size)}, by id</span>
        <button type="button" onClick=${() => { show([]); setNext(""); setTimeout(fetchMore); }}>Look again</button></div>
      <${List} id="member-list" label=${`Members of ${id}`} count=${users.length} height=${ROW} active=${active} onActive=${setActive}
        row=${(index) => html`<span class="who">${users[index]}</span>`} onOpen=${(index) => onUser(users[index])}
        onScroll=${(top) => top > (users.length - 100) * ROW && fetchMore()} empty=${next === null ? "Nobody is in it." : "Asking…"} />
    </div>`;
}

/** What its definition is and was. */
function Versions({ id, version }) {
  const [versions, show] = useState(null);
  useEffect(() => {
    ask(at`/v1/segments/${id}/versions`).then((it) => show(it.versions.reverse()), () => show([]));
  }, [id, version]);
  return html`
    <div class="scroll versions" tabindex="0" role="region" aria-label="Versions, the newest first">
      ${versions?.length === 0 && html`<p class="empty">None is known.</p>`}
      ${(versions ?? []).map((it, index) => html`
        <details key=${it.version} open=${index === 0}>
          <summary>Version ${it.version} <span class="note">${it.saved_at ? `saved ${time(it.saved_at)}, ${span(Date.now() - it.saved_at)} ago` : "as in the file"}</span></summary>
          <pre>${it.definition ? written(it.definition) : "deleted"}</pre>
        </details>`)}
    </div>`;
}
