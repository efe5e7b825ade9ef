// A job with many segments and many differences a second: how even the frames of the page are, and that
// what it holds does not grow with them. What is measured is said; only what must always hold is checked.
import { api, checks, holds, ready, until } from "./browser.mjs";

const [SEGMENTS, RATE, SECONDS] = ["SEGMENTS", "RATE", "SECONDS"].map((key) => Number(process.env[`RIVULET_CONSOLE_${key}`]));
/** A frame at 60 a second, in ms; one is late from half a frame more on. */
const FRAME = 1_000 / 60;
const NODES_MAX = 2_500;
const ROWS_MAX = 60;

/** Notes every frame, every long task and every shift of the layout that nobody's doing was the cause of. */
const watch = () => {
  self.seen = { frames: [], tasks: [], shifts: [] };
  let before = performance.now();
  const frame = (now) => {
    self.seen.frames.push(now - before);
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  const observe = (type, take) => new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true });
  observe("longtask", (it) => self.seen.tasks.push(it.duration));
  observe("layout-shift", (it) => it.hadRecentInput || self.seen.shifts.push([it.value, ...it.sources.map(({ node }) => (node?.outerHTML ?? node?.parentElement?.outerHTML ?? "").slice(0, 120))]));
};

const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
const ms = (number) => `${number.toFixed(1)} ms`;

function told(name, { frames, tasks }, came) {
  const sorted = [...frames].sort((a, b) => a - b);
  const late = frames.filter((it) => it > 1.5 * FRAME).length;
  const seconds = frames.reduce((sum, it) => sum + it, 0) / 1_000;
  console.log(`measured ${name}: ${SEGMENTS} segments, ${Math.round(came / seconds)} differences/s over ${seconds.toFixed(1)} s: ${(frames.length / seconds).toFixed(1)} frames/s, p50 ${ms(quantile(sorted, 0.5))}, p99 ${ms(quantile(sorted, 0.99))}, longest ${ms(sorted.at(-1))}, ${((100 * late) / frames.length).toFixed(1)} % late; ${tasks.length} tasks over 50 ms${tasks.length ? `, the longest ${ms(Math.max(...tasks))}` : ""}`);
}

await checks({
  async "many segments and differences are a few rows, and frames stay even"({ open, picture }) {
    const page = await open({ prepare: (page) => page.addInitScript(watch) });
    await ready(page);
    const grouped = SEGMENTS.toLocaleString("en");
    await page.getByText(`${grouped} segments`).waitFor();
    const tail = page.locator("#tail-list");
    await until("differences", async () => (await tail.locator(".row").count()) > 10);
    const { paint } = await page.evaluate(() => ({ paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime }));
    console.log(`measured first contentful paint: ${ms(paint)}`);
    const given = async () => Number(/^rivulet_differences_total(?:\{.*\})? (\d+)/m.exec(await (await fetch(`${new URL(page.url()).origin}/metrics`)).text())?.[1]);
    /** What is seen while something is done, or nothing is. */
    const during = async (name, work) => {
      await page.evaluate(() => Object.assign(self.seen, { frames: [], tasks: [], shifts: [] }));
      const before = await given();
      const end = Date.now() + 1_000 * SECONDS;
      do await work(); while (Date.now() < end);
      const [seen, after] = [await page.evaluate(() => self.seen), await given()];
      told(name, seen, after - before);
      holds(after > before, "differences are given out");
      holds(seen.shifts.length === 0, `${name}: nothing shifts: ${JSON.stringify(seen.shifts)}`);
      const [nodes, ...rows] = await page.evaluate(() => [document.querySelectorAll("*").length, ...["#segment-list", "#tail-list"].map((it) => document.querySelectorAll(`${it} .row`).length)]);
      holds(nodes < NODES_MAX, `${name}: ${nodes} nodes are fewer than ${NODES_MAX}`);
      holds(rows.every((it) => it > 5 && it < ROWS_MAX), `${name}: ${rows} rows are few`);
    };
    await during("watching", () => page.waitForTimeout(500));
    await page.locator("#segment-list").hover();
    let way = 1;
    await during("scrolling", async () => {
      for (let step = 0; step < 30; step += 1) {
        await page.mouse.wheel(0, way * 300);
        await page.waitForTimeout(16);
      }
      way = -way;
    });
    await page.locator("#segment-list").focus();
    await during("moving by keys", async () => {
      await page.keyboard.press("ArrowDown");
      await page.waitForTimeout(100);
    });
    const kept = Number(await tail.locator(".row").first().getAttribute("aria-setsize"));
    holds(kept <= 5_000, `${kept} differences are kept`);
    await picture(page, "busy");
    const last = `segment_${String(SEGMENTS - 1).padStart(5, "0")}`;
    await page.locator("#segment-list").focus();
    await page.keyboard.press("End");
    await page.locator("#segment-list .row", { hasText: last }).waitFor();
    const { segments } = await api(`/v1/segments?limit=10000`);
    holds(segments.length === SEGMENTS, `${segments.length} segments are ${SEGMENTS}`);
    holds(RATE > 0, "there is a rate");
  },
});
