// What the scripts of the console's tests share: a browser, checks with names, and the job, which is
// sent records by a line on standard output.
import { createRequire } from "node:module";

const [modules, url, pictures] = process.argv.slice(2);
const load = createRequire(`${modules}/`);
const { chromium } = load("playwright-core");
const { AxeBuilder } = load("@axe-core/playwright");

/** Waits of all kinds: the machine may be busy. */
const DEADLINE = 60_000;

export { url };

/** Gives the job a record. */
export const send = (record) => console.log(`send ${JSON.stringify(record)}`);

export function same(found, expected, what) {
  const [left, right] = [found, expected].map((it) => JSON.stringify(it));
  if (left !== right) throw new Error(`${what}: ${left} is not ${right}`);
}

export function holds(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

/** Asks until it holds. */
export async function until(what, ask) {
  const end = Date.now() + DEADLINE;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > end) throw new Error(`never came: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** What the server answers a program. */
export async function api(path, options) {
  const response = await fetch(url + path, options);
  return response.json();
}

/** What a refusal is answered with is in the log of a browser; it is no fault of the page. */
const isFault = (line) => !/status of (4\d\d|503)/.test(line);

/** Carries out checks one after another, each with its name, in one browser. */
export async function checks(all) {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
  try {
    for (const [name, check] of Object.entries(all)) {
      const seen = { errors: [], hosts: new Set(), bytes: 0 };
      const open = async (options = {}, hash = "") => {
        const context = await browser.newContext({ viewport: { width: 1440, height: 1280 }, colorScheme: "light", ...options });
        context.setDefaultTimeout(DEADLINE);
        const page = await context.newPage();
        page.on("pageerror", (error) => seen.errors.push(error.stack));
        page.on("console", (line) => line.type() === "error" && seen.errors.push(line.text()));
        page.on("request", (request) => seen.hosts.add(new URL(request.url()).host));
        if (options.prepare) await options.prepare(page);
        await page.goto(`${url}/${hash}`);
        return page;
      };
      // Nothing is put into the page for it: that would be against its policy.
      const picture = (page, to) => page.screenshot({ path: `${pictures}/${to}.png`, fullPage: true, animations: "allow", caret: "initial" });
      try {
        await check({ open, picture, seen });
      } catch (error) {
        const pages = browser.contexts().flatMap((it) => it.pages());
        for (const [index, page] of pages.entries()) await picture(page, `failed-${index}`);
        throw new Error(`${name}: ${error.message}; in the page: ${JSON.stringify(seen.errors.filter(isFault))}`, { cause: error });
      }
      same(seen.errors.filter(isFault), [], `${name}: errors in the page`);
      same([...seen.hosts], [new URL(url).host], `${name}: hosts that were asked`);
      for (const context of browser.contexts()) await context.close();
      console.log(`done ${name}`);
    }
  } finally {
    await browser.close();
  }
}

/** That nobody is kept out. */
export async function accessible(page, what) {
  // It would copy style sheets into the page, which its policy forbids; no rule here needs that.
  const { violations } = await new AxeBuilder({ page }).options({ preload: false }).withTags(["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]).analyze();
  const told = violations.map((it) => `${it.id}: ${it.nodes.map((node) => `${node.target} ${node.any?.[0]?.message ?? ""}`).join(" | ")}`);
  same(told, [], `${what}: accessibility`);
}

/** The panel of this id, once the segments are there. */
export async function ready(page) {
  await page.locator("#segment-list .row .name").first().waitFor();
  await page.locator(".editor .cm-content").waitFor();
}

export const panel = (page, id) => page.locator(`#${id}`);
export const textOf = async (locator) => (await locator.innerText()).replace(/\s+/g, " ").trim();

/** Replaces what is in the editor. */
export async function write(page, text) {
  await page.locator(".editor .cm-content").click();
  await page.keyboard.press("Control+A");
  await page.keyboard.insertText(text);
}
