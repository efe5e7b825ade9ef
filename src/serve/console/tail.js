// Differences as they come, the newest first. What is kept is bounded; what is drawn is what is
// seen, ten times a second at most, for nobody reads faster: frames between are left to everything else. It stands still while one reads: when scrolled, moved in, or paused.
import { html, useEffect, useRef, useState } from "./preact.js";
import { at, follow } from "./api.js";
import { count, plural, rough, time } from "./format.js";
import { List } from "./list.js";

const KEPT = 5_000;
const ROW = 30;
/** How long what is drawn stays. */
const DRAWN_MS = 100;
/** How often those who listen are told how many came. */
const TOLD_EVERY_MS = 10_000;

/** The last so many, in a ring. */
class Ring {
  items = [];
  total = 0;

  push(batch) {
    for (const item of batch) {
      this.items[this.total % KEPT] = item;
      this.total += 1;
    }
  }

  get length() {
    return Math.min(this.total, KEPT);
  }

  /** The newest is 0. */
  at(index) {
    return this.items[(this.total - 1 - index) % KEPT];
  }

  copy() {
    return Object.assign(new Ring(), { items: this.items.slice(), total: this.total });
  }
}

const STATES = { live: "live", waiting: "connecting again", dropped: "read too slowly: some were left out", starting: "connecting" };

export function Tail({ onUser, onSegment }) {
  const ring = useRef(new Ring());
  const [frozen, freeze] = useState(null);
  const [isPaused, pause] = useState(false);
  const [active, setActive] = useState(-1);
  const [, draw] = useState(0);
  const [state, tell] = useState("starting");
  const [rate, showRate] = useState(0);
  const [told, setTold] = useState("");
  const [filter, setFilter] = useState({ segment: "", user: "" });
  const [wanted, want] = useState(filter);

  useEffect(() => {
    const timer = setTimeout(() => want(filter), 350);
    return () => clearTimeout(timer);
  }, [filter]);

  useEffect(() => {
    const aborting = new AbortController();
    let [frame, drawnAt] = [0, -Infinity];
    ring.current = new Ring();
    resume();
    draw((it) => it + 1);
    const questions = Object.entries(wanted).filter(([, value]) => value.trim());
    const path = `/v1/diffs?${questions.map(([key, value]) => `${key}=${encodeURIComponent(value.trim())}`).join("&")}`;
    const take = (batch) => {
      ring.current.push(batch);
      frame ||= requestAnimationFrame(turn);
    };
    const turn = (now) => {
      frame = 0;
      if (now - drawnAt < DRAWN_MS) {
        frame = requestAnimationFrame(turn);
        return;
      }
      drawnAt = now;
      draw((it) => it + 1);
    };
    follow(path, { signal: aborting.signal, take, tell });
    return () => {
      aborting.abort();
      cancelAnimationFrame(frame);
    };
  }, [wanted]);

  useEffect(() => {
    let [before, saidAt, said] = [ring.current.total, performance.now(), ring.current.total];
    const timer = setInterval(() => {
      const { total } = ring.current;
      showRate(Math.max(0, total - before));
      before = total;
      if (performance.now() - saidAt >= TOLD_EVERY_MS) {
        if (total > said) setTold(`${plural(total - said, "difference")} in the last ten seconds`);
        [saidAt, said] = [performance.now(), total];
      }
    }, 1_000);
    return () => clearInterval(timer);
  }, []);

  const hold = () => freeze((it) => it ?? ring.current.copy());
  const resume = () => {
    freeze(null);
    pause(false);
    setActive(-1);
    const list = document.getElementById("tail-list");
    if (list) list.scrollTop = 0;
  };
  const toggle = () => {
    if (frozen) return resume();
    pause(true);
    hold();
  };
  const shown = frozen ?? ring.current;
  const newer = ring.current.total - shown.total;

  const row = (index) => {
    const { time: when, segment, user, diff } = shown.at(index);
    return html`
      <span class=${`sign ${diff > 0 ? "in" : "out"}`}><span aria-hidden="true">${diff > 0 ? "+" : "−"}</span><span class="unseen">${diff > 0 ? "entered" : "left"}</span></span>
      <span class="who">${user}</span>
      <span class="what">${segment}</span>
      <span class="when" title=${time(when)}>${time(when).slice(11, 19)}<span class="ms">${time(when).slice(19)}</span></span>`;
  };
  const opened = (index, event) => {
    const { user, segment } = shown.at(index);
    if (event.shiftKey || event.target.closest(".what")) onSegment(segment);
    else onUser(user);
  };
  const set = (key) => (event) => setFilter({ ...filter, [key]: event.target.value });
  const word = typeof state === "string" ? STATES[state] : state.message;
  return html`
    <section class="panel tail" id="tail" aria-labelledby="tail-title" tabindex="-1">
      <header>
        <h2 id="tail-title">Live differences</h2>
        <span class="note"><span class=${`dot ${state === "live" ? "good" : ""}`}></span><span class=${state === "live" ? "unseen" : ""}>${word}, </span>${`${rough(rate)}/s`}</span>
        <button type="button" aria-pressed=${isPaused} onClick=${toggle}>${frozen ? "Resume" : "Pause"}</button>
      </header>
      <div class="bar">
        <label class="grow"><span class="unseen">Only of this segment</span>
          <input placeholder="Segment" value=${filter.segment} onInput=${set("segment")} list="segment-ids" autocomplete="off" spellcheck=${false} /></label>
        <label class="grow"><span class="unseen">Only of this user</span>
          <input placeholder="User" value=${filter.user} onInput=${set("user")} autocomplete="off" spellcheck=${false} /></label>
      </div>
      <${List} id="tail-list" label="Differences, the newest first" count=${shown.length} height=${ROW} row=${row} active=${active}
        onActive=${(index) => { hold(); setActive(index); }}
        onOpen=${opened}
        onScroll=${(top) => (top > 0 ? hold() : !isPaused && active < 0 && freeze(null))}
        empty="Nothing yet: differences appear here as users enter and leave segments." />
      <p class="foot">${frozen
        ? html`<span>Standing still, newer: <span class="figures">${count(newer)}</span></span> <button type="button" class="plain" onClick=${resume}>Show them</button>`
        : html`<span>The last <span class="figures">${count(KEPT)}</span> are kept</span>`}</p>
      <p class="unseen" role="status">${told}</p>
    </section>`;
}
