// The page: what it is made of, what is chosen (which stands in the address), and the keys.
import { html, render, useEffect, useMemo, useRef, useState } from "./preact.js";
import { ask, session, usePoll } from "./api.js";
import { KeysDialog, TokenDialog } from "./dialogs.js";
import { time } from "./format.js";
import { Records } from "./records.js";
import { Segment } from "./segment.js";
import { Segments, useSegments } from "./segments.js";
import { Tail } from "./tail.js";
import { User } from "./user.js";
import { Vitals, useVitals } from "./vitals.js";

const KEYS_OFF = "rivulet.keys-off";
/** How many segments are offered where one is asked for. */
const IDS = 1_000;

/** What is chosen, as the address has it: #segment=…&user=… */
function useAddress() {
  const read = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const [chosen, show] = useState(read);
  useEffect(() => {
    const changed = () => location.hash.includes("=") && show(read());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  const choose = (change) => {
    const next = { ...chosen, ...change };
    const kept = Object.entries(next).filter(([, value]) => value);
    history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
    show(next);
  };
  return [chosen, choose];
}

/** What this server can be asked. */
function useOffers() {
  const [offers, show] = useState(new Set());
  usePoll(5_000, async (signal) => {
    if (offers.size > 0) return;
    show(new Set(Object.keys((await ask("/openapi.json", { signal })).paths)));
  });
  return offers;
}

/** Whether the job is up to date, and can be reached. */
function useStatus() {
  const [status, show] = useState({ word: "connecting" });
  usePoll(2_000, async (signal) => {
    const response = await fetch("/readyz", { signal }).catch(() => null);
    const { status: word } = response ? await response.json() : { status: "unreachable" };
    show({ word });
  });
  return status;
}

/** How long one has to rest on a segment before it is shown, where one goes on fast. */
const REST_MS = 150;

/** What was chosen last: at once, but of many choices in a row only the last one. */
function useRested(chosen) {
  const own = useRef({ at: -Infinity });
  const [, draw] = useState(0);
  if (own.current.chosen !== chosen) {
    const now = performance.now();
    if (now - own.current.at >= REST_MS) own.current.shown = chosen;
    Object.assign(own.current, { chosen, at: now });
  }
  useEffect(() => {
    const timer = setTimeout(() => {
      if (own.current.shown === chosen) return;
      own.current.shown = chosen;
      draw((it) => it + 1);
    }, REST_MS);
    return () => clearTimeout(timer);
  }, [chosen]);
  return own.current.shown;
}

/** The ids of the first segments: the same list as before where they are the same. */
function useIds(segments) {
  const own = useRef([]);
  const now = (segments ?? []).slice(0, IDS);
  const isSame = now.length === own.current.length && now.every((it, index) => it.id === own.current[index]);
  if (!isSame) own.current = now.map((it) => it.id);
  return own.current;
}

const WORDS = { ready: ["up to date", "good"], catching_up: ["catching up", "wait"], unreachable: ["cannot be reached", "lost"], connecting: ["connecting", "wait"] };

const go = (id, inner) => {
  const panel = document.getElementById(id);
  panel?.scrollIntoView({ block: "nearest" });
  (inner ? document.getElementById(inner) ?? panel?.querySelector(inner) : panel)?.focus();
};

function App() {
  const [chosen, choose] = useAddress();
  const [isNew, setNew] = useState(false);
  const [dialog, open] = useState(null);
  const [areKeysOn, setKeys] = useState(!localStorage.getItem(KEYS_OFF));
  const offers = useOffers();
  const status = useStatus();
  const vitals = useVitals();
  const { segments, asOf } = useSegments();

  useEffect(() => {
    const denied = ({ detail }) => open((it) => it ?? { kind: "token", denied: detail });
    session.addEventListener("denied", denied);
    return () => session.removeEventListener("denied", denied);
  }, []);

  // At first the first one is shown.
  useEffect(() => {
    if (segments?.length && !chosen.segment && !isNew) choose({ segment: segments[0].id });
  }, [segments]);

  const toSegment = (segment) => {
    setNew(false);
    choose({ segment });
  };
  const toUser = (user) => {
    choose({ user });
    if (user) document.getElementById("user").scrollIntoView({ block: "nearest" });
  };
  const make = () => {
    setNew(true);
    setTimeout(() => go("segment"));
  };

  useEffect(() => {
    const pressed = (event) => {
      const inText = event.composedPath().some((it) => it.matches?.("input, textarea, select, dialog, [contenteditable=true]"));
      if (!areKeysOn || inText || event.ctrlKey || event.metaKey || event.altKey) return;
      const actions = {
        "/": () => go("segments", "search"),
        u: () => go("user", "user-id"),
        d: () => go("tail", "tail-list"),
        e: () => document.querySelector(".editor")?.shadowRoot?.querySelector(".cm-content")?.focus(),
        n: make,
        p: () => document.querySelector("#tail header button").click(),
        "?": () => open({ kind: "keys" }),
      };
      if (!(event.key in actions)) return;
      event.preventDefault();
      actions[event.key]();
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });

  const toggleKeys = (areOn) => {
    setKeys(areOn);
    if (areOn) localStorage.removeItem(KEYS_OFF);
    else localStorage.setItem(KEYS_OFF, "1");
  };
  const [word, kind] = WORDS[status.word] ?? [status.word, "wait"];
  const ids = useIds(segments);
  const options = useMemo(() => ids.map((id) => html`<option value=${id} />`), [ids]);
  const shown = useRested(chosen.segment);
  const hasRecords = offers.has("/v1/late") || offers.has("/v1/rejected");
  return html`
    <header class="top">
      <h1><img src="/console/icon.svg" alt="" width="26" height="26" /> Rivulet</h1>
      <p class="status"><span class=${`dot ${kind}`}></span><span role="status">${word}</span></p>
      <p class="as-of">${asOf != null && html`<span class="unseen">As of </span>${time(asOf)}<small> UTC, event time</small>`}</p>
      <button type="button" class="quiet" onClick=${() => open({ kind: "keys" })}>Keyboard <kbd aria-hidden="true">?</kbd></button>
    </header>
    <nav class="parts" aria-label="Parts of the page">
      <a href="#segments">Segments</a><a href="#segment">Rule</a><a href="#tail">Live</a><a href="#user">User</a>${hasRecords && html`<a href="#records">Records</a>`}
    </nav>
    <main>
      <${Vitals} vitals=${vitals} />
      <${Segments} segments=${segments} chosen=${isNew ? null : chosen.segment} onChoose=${toSegment} onNew=${make} />
      <${Segment} id=${shown} isNew=${isNew} segments=${segments} offers=${offers} onUser=${toUser}
        onSaved=${toSegment} onDeleted=${() => choose({ segment: segments?.find((it) => it.id !== chosen.segment)?.id })} />
      <${Tail} onUser=${toUser} onSegment=${toSegment} />
      <${User} id=${chosen.user ?? ""} watermark=${vitals.now?.watermark ?? asOf} offers=${offers} onUser=${toUser} onSegment=${toSegment} />
      ${hasRecords && html`<${Records} offers=${offers} vitals=${vitals} />`}
    </main>
    <datalist id="segment-ids">${options}</datalist>
    ${dialog?.kind === "token" && html`<${TokenDialog} denied=${dialog.denied} onClose=${() => open(null)} />`}
    ${dialog?.kind === "keys" && html`<${KeysDialog} areOn=${areKeysOn} onToggle=${toggleKeys} onClose=${() => open(null)} />`}`;
}

const place = document.getElementById("app");
place.replaceChildren();
render(html`<${App} />`, place);
