// A list of which only what is seen is there: ten thousand rows cost as much as twenty. It is one
// stop for the tab key; arrows move within it, Enter opens.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./preact.js";

const BEYOND = 6;

export function List({ id, label, count, height, row, active, onActive, onOpen, onScroll, empty }) {
  const box = useRef();
  const [{ top, room }, look] = useState({ top: 0, room: 400 });

  useLayoutEffect(() => {
    const measure = () => look({ top: box.current.scrollTop, room: box.current.clientHeight });
    const watching = new ResizeObserver(measure);
    watching.observe(box.current);
    return () => watching.disconnect();
  }, []);

  // The active row is brought into view when it becomes active, not whenever rows move.
  useEffect(() => {
    if (active == null || active < 0) return;
    const [start, end] = [active * height, (active + 1) * height];
    const { scrollTop, clientHeight } = box.current;
    if (start < scrollTop) box.current.scrollTop = start;
    else if (end > scrollTop + clientHeight) box.current.scrollTop = end - clientHeight;
  }, [active]);

  const scrolled = () => {
    const { scrollTop, clientHeight } = box.current;
    look({ top: scrollTop, room: clientHeight });
    onScroll?.(scrollTop);
  };

  const pressed = (event) => {
    const page = Math.max(1, Math.floor(room / height) - 1);
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -count, End: count };
    if (event.key in moves && !event.altKey && !event.ctrlKey && !event.metaKey && count > 0) {
      const from = active == null || active < 0 ? (moves[event.key] > 0 ? -1 : 0) : active;
      onActive?.(Math.min(count - 1, Math.max(0, from + moves[event.key])));
      event.preventDefault();
    } else if (event.key === "Enter" && active >= 0 && active < count) {
      onOpen?.(active, event);
      event.preventDefault();
    }
  };

  const first = Math.max(0, Math.min(Math.floor(top / height), count - 1) - BEYOND);
  const last = Math.min(count, Math.ceil((top + room) / height) + BEYOND);
  const rows = [];
  for (let index = first; index < last; index += 1) {
    rows.push(html`
      <div
        key=${index % 256} id=${`${id}-${index}`} class="row" role="option"
        aria-selected=${index === active} aria-setsize=${count} aria-posinset=${index + 1}
        style=${{ transform: `translateY(${index * height}px)`, height: `${height}px` }}
        onClick=${(event) => { onActive?.(index); onOpen?.(index, event); }}
      >${row(index)}</div>`);
  }
  return html`
    <div
      ref=${box} id=${id} class="list" role="listbox" tabindex="0" aria-label=${label}
      aria-activedescendant=${active >= first && active < last ? `${id}-${active}` : undefined}
      onScroll=${scrolled} onKeyDown=${pressed}
    >
      <div role="presentation" class="rows" style=${{ height: `${count * height}px` }}>${rows}</div>
      ${count === 0 && html`<div class="empty" role="option" aria-selected="false" aria-disabled="true">${empty}</div>`}
    </div>`;
}

/** A line of the last values, without words: what it says stands beside it. */
export function Spark({ values, width = 80, height = 22 }) {
  if (values.length < 2) return html`<svg class="spark" width=${width} height=${height} aria-hidden="true"></svg>`;
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const step = (width - 2) / (values.length - 1);
  const y = (value) => (high === low ? height / 2 : height - 2 - ((value - low) / (high - low)) * (height - 4));
  let line = "";
  values.forEach((value, index) => {
    line += `${index ? "L" : "M"}${(1 + index * step).toFixed(1)} ${y(value).toFixed(1)}`;
  });
  const area = `${line}L${width - 1} ${height}L1 ${height}Z`;
  return html`
    <svg class="spark" viewBox=${`0 0 ${width} ${height}`} width=${width} height=${height} preserveAspectRatio="none" aria-hidden="true">
      <path class="area" d=${area} /><path class="line" d=${line} />
    </svg>`;
}
