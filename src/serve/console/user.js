// A user's card: in which segments they are and why, how they came and went, and what they did.
import { html, useEffect, useRef, useState } from "./preact.js";
import { Refused, ask, at, follow, usePoll } from "./api.js";
import { count, plural, span, time } from "./format.js";

const EVERY_MS = 2_000;
/** How many of the last events are asked for. */
const EVENTS = 50;
/** Entries and leaves that are kept. */
const KEPT = 500;
const FIRST_TIME = -62_135_596_800_000;

export function User({ id, watermark, offers, onUser, onSegment }) {
  const [text, setText] = useState(id);
  useEffect(() => setText(id), [id]);
  const submitted = (event) => {
    event.preventDefault();
    onUser(text.trim());
  };
  return html`
    <section class="panel user" id="user" aria-labelledby="user-title" tabindex="-1">
      <header>
        <h2 id="user-title">User</h2>
        <form class="bar" role="search" onSubmit=${submitted}>
          <label class="grow"><span class="unseen">Id of a user</span>
            <input id="user-id" value=${text} placeholder="Id of a user" autocomplete="off" spellcheck=${false} onInput=${(event) => setText(event.target.value)} /></label>
          <button type="submit">Look up</button>
        </form>
      </header>
      ${id ? html`<${Card} key=${id} id=${id} watermark=${watermark} offers=${offers} onSegment=${onSegment} />`
        : html`<p class="empty">Look a user up, or choose one among the differences or the members of a segment.</p>`}
    </section>`;
}

function Card({ id, watermark, offers, onSegment }) {
  const [found, show] = useState(null);
  const [why, explain] = useState(null);
  const canExplain = offers.has("/v1/explain");
  usePoll(EVERY_MS, async (signal) => show(await ask(at`/v1/users/${id}/segments`, { signal })));
  return html`
    <div class="card">
      <div class="card-part">
        <h3>${id} <span class="note">${found && `in ${plural(found.segments.length, "segment")}, as of ${time(found.as_of)}`}</span></h3>
        <ul class="chips" aria-label=${`Segments of ${id}`}>
          ${(found?.segments ?? []).map((segment) => html`
            <li key=${segment}>
              <button type="button" class="chip" onClick=${() => onSegment(segment)}>${segment}</button>
              ${canExplain && html`<button type="button" class="plain" aria-pressed=${why === segment} onClick=${() => explain(why === segment ? null : segment)}>why?<span class="unseen"> ${id} is in ${segment}</span></button>`}
            </li>`)}
        </ul>
        ${found?.segments.length === 0 && html`<p class="note">In none now.</p>`}
        ${canExplain && html`<${Why} id=${id} chosen=${why} watermark=${watermark} onChoose=${explain} />`}
        ${offers.has("/v1/users/{id}/attributes") && html`<${Attributes} id=${id} />`}
      </div>
      <div class="card-part">
        <${Timeline} id=${id} onSegment=${onSegment} />
        ${offers.has("/v1/users/{id}/events") && html`<${Events} id=${id} />`}
      </div>
    </div>`;
}

/** Their attributes, of those that rules ask for. */
function Attributes({ id }) {
  const [found, show] = useState(null);
  usePoll(EVERY_MS, async (signal) => {
    try {
      show(await ask(at`/v1/users/${id}/attributes`, { signal }));
    } catch (error) {
      if (error instanceof Refused) show({ attributes: {}, wrong: error.message });
      throw error;
    }
  });
  const known = Object.entries(found?.attributes ?? {});
  return html`
    <div class="attributes">
      <h3>Attributes <span class="note">${found?.since != null && `known since ${time(found.since)}`}</span></h3>
      ${found && known.length === 0 && html`<p class="note">${found.wrong ?? "None that a rule asks for."}</p>`}
      <dl>${known.map(([path, value]) => html`<div key=${path}><dt>${path}</dt><dd>${JSON.stringify(value)}</dd></div>`)}</dl>
    </div>`;
}

/** Their last events, as far as windows hold them. */
function Events({ id }) {
  const [found, show] = useState(null);
  usePoll(EVERY_MS, async (signal) => {
    try {
      show(await ask(at`/v1/users/${id}/events?limit=${EVENTS}`, { signal }));
    } catch (error) {
      if (error instanceof Refused) show({ events: [], wrong: error.message });
      throw error;
    }
  });
  return html`
    <div class="stretch">
      <h3>Events <span class="note">${found?.next != null && `the last ${found.events.length}`}</span></h3>
      <div class="scroll" tabindex="0" role="region" aria-label=${`Events of ${id} that windows hold, the newest first`}>
        ${found?.events.length === 0 && html`<p class="note">${found.wrong ?? "None that a window holds."}</p>`}
        <ol class="happened">
          ${(found?.events ?? []).map(({ time: when, event, count: many, properties }) => html`
            <li key=${`${when} ${event}`}>
              <span class="when">${time(when)}</span>
              <span>${event}${many > 1 && ` × ${count(many)}`}${Object.entries(properties).map(([path, value]) => html` <span class="note">${path} ${JSON.stringify(value)}</span>`)}</span>
            </li>`)}
        </ol>
      </div>
    </div>`;
}

/** All that is retained of their entries and leaves, and what comes. */
function Timeline({ id, onSegment }) {
  const [entries, show] = useState([]);
  const [from, setFrom] = useState(null);
  const [wrong, setWrong] = useState(null);
  useEffect(() => {
    const aborting = new AbortController();
    const { signal } = aborting;
    const take = (batch) => show((before) => [...batch.reverse(), ...before].slice(0, KEPT));
    const since = (first) => {
      let earliest = null;
      const tell = (state) => {
        // It says from when on there is something: from then.
        if (state instanceof Refused && state.status === 410) earliest = /-?\d+$/.exec(state.hint ?? "")?.[0];
        else if (state instanceof Refused) setWrong(state);
      };
      follow(at`/v1/diffs?user=${id}&since=${first}`, { signal, take, tell }).then(() => {
        if (earliest == null || signal.aborted) return;
        setFrom(Number(earliest));
        since(earliest);
      });
    };
    since(FIRST_TIME);
    return () => aborting.abort();
  }, []);
  return html`
    <div class="stretch">
      <h3>Entries and leaves <span class="note">${from != null && `since ${time(from)}`}</span></h3>
      <div class="scroll" tabindex="0" role="region" aria-label=${`Entries and leaves of ${id}, the newest first`}>
        ${entries.length === 0 && html`<p class="note">${wrong ? wrong.message : "None that is retained."}</p>`}
        <ol class="timeline">
          ${entries.map(({ time: when, segment, diff }) => html`
            <li key=${`${when} ${segment}`} class=${diff > 0 ? "in" : "out"}>
              <span class="when">${time(when)}</span>
              <span class="sign"><span aria-hidden="true">${diff > 0 ? "+" : "−"}</span> <span class="unseen">${diff > 0 ? "entered" : "left"}</span></span>
              <button type="button" class="plain" onClick=${() => onSegment(segment)}>${segment}</button>
            </li>`)}
        </ol>
      </div>
    </div>`;
}

/** The rule of a segment as it stands for this user. */
function Why({ id, chosen, watermark, onChoose }) {
  const [text, setText] = useState("");
  const [found, show] = useState(null);
  const wanted = useRef();
  wanted.current = chosen;
  usePoll(EVERY_MS, async (signal) => {
    if (!chosen) return;
    try {
      const answer = await ask(at`/v1/explain?user=${id}&segment=${chosen}`, { signal });
      if (wanted.current === chosen) show({ of: chosen, answer });
    } catch (error) {
      if (error instanceof Refused) show({ of: chosen, error });
      throw error;
    }
  }, [chosen]);
  const submitted = (event) => {
    event.preventDefault();
    onChoose(text.trim() || null);
  };
  const answer = found?.of === chosen ? found?.answer : null;
  return html`
    <form class="bar" onSubmit=${submitted}>
      <label class="grow"><span class="unseen">Why in this segment, or why not</span>
        <input list="segment-ids" placeholder="Why in, or not in, a segment" value=${text} autocomplete="off" spellcheck=${false} onInput=${(event) => setText(event.target.value)} /></label>
      <button type="submit">Explain</button>
    </form>
    ${chosen && found?.error && html`<p class="bad">${found.error.message}</p>`}
    ${chosen && answer && html`
      <div class="why" aria-live="polite">
        <p>${answer.member ? "In" : "Not in"} <b>${chosen}</b>${!answer.exists && answer.exists !== undefined ? ", for there is no such user" : ""}<${Countdown} until=${answer.next_change} now=${watermark ?? answer.at} word="changes" /></p>
        <ul class="tree"><${Branch} node=${answer.tree} now=${watermark ?? answer.at} /></ul>
      </div>`}`;
}

function Branch({ node, now }) {
  const { what, value, truth, mismatch, next, children = [] } = node;
  return html`
    <li>
      <span class=${`truth ${truth ? "in" : "out"}`}><span aria-hidden="true">${truth ? "✓" : "✗"}</span><span class="unseen">${truth ? "holds:" : "does not hold:"}</span></span>
      <span>${what}${value != null && html` <b>= ${typeof value === "number" ? count(value) : JSON.stringify(value)}</b>`}${mismatch && html` <span class="flag">wrong type</span>`}<${Countdown} until=${next} now=${now} word="until" /></span>
      ${children.length > 0 && html`<ul>${children.map((it) => html`<${Branch} node=${it} now=${now} />`)}</ul>`}
    </li>`;
}

/** How long it is, in the time of events, until something changes by itself. */
function Countdown({ until, now, word }) {
  if (until == null) return null;
  const left = now == null ? null : until - now;
  return html` <span class="until" aria-live="off" title=${time(until)}>${word} ${left != null && left > 0 ? `in ${span(left)}` : `at ${time(until)}`}</span>`;
}
