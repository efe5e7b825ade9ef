// How many users two segments share: two bars on one scale, the shared part of each filled.
import { html, useEffect, useState } from "./preact.js";
import { Refused, ask, at } from "./api.js";
import { count, rough } from "./format.js";

export function Overlap({ id, segments }) {
  const [other, choose] = useState("");
  const [found, show] = useState(null);
  const isKnown = other !== id && segments?.some((it) => it.id === other);
  useEffect(() => {
    show(null);
    if (!isKnown) return;
    ask(at`/v1/overlap?segments=${id},${other}`).then(show, (error) => error instanceof Refused && show({ error }));
  }, [id, other, isKnown]);
  return html`
    <div class="overlap">
      <label>Shared with <input list="segment-ids" value=${other} placeholder="another segment" autocomplete="off" spellcheck=${false}
        onInput=${(event) => choose(event.target.value)} /></label>
      <div aria-live="polite">${found?.error ? html`<p class="bad">${found.error.message}</p>` : found && html`<${Picture} found=${found} names=${[id, other]} />`}</div>
    </div>`;
}

function Picture({ found, names }) {
  const of = (wanted) => found.intersections.find((it) => it.segments.length === wanted.length && wanted.every((name) => it.segments.includes(name)))?.size ?? 0;
  const sizes = names.map((name) => of([name]));
  const shared = of(names);
  const whole = Math.max(...sizes, 1);
  const share = (part, of) => (of ? `${rough((100 * part) / of)} %` : "–");
  return html`
    <p class="figure"><span>${count(shared)}</span> <small>in both</small></p>
    ${names.map((name, index) => html`
      <div class="measure">
        <p><b>${name}</b> <span class="note">${count(sizes[index])}, of which ${share(shared, sizes[index])} shared</span></p>
        <svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
          <rect class="all" width=${(100 * sizes[index]) / whole} height="6" /><rect class="both" width=${(100 * shared) / whole} height="6" />
        </svg>
      </div>`)}`;
}
