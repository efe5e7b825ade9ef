// The shop of the demo, visited: from newcomer to window shopper to high value. With "fall" as fourth
// argument, until time makes a window shopper a newcomer again; with a number, so many visitors go all
// the way one after another, and nothing else is looked at: to measure.
import { createRequire } from "node:module";
import { accessible, holds, same, until, url } from "../console/browser.mjs";

const [modules, , pictures, how] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)("playwright-core");
const DEADLINE = 60_000;

const tierOf = (page) => page.locator("html").getAttribute("data-tier");
const title = (page) => page.locator("h1").innerText();

async function sees(page, tier) {
  await until(`the home page of a ${tier}`, async () => (await tierOf(page)) === tier);
  same(await page.locator('.steps [aria-current="step"]').getAttribute("data-step"), tier, "the step that is marked");
}

/** Looks five times, buys for more than 100; what was seen on the way. */
async function visit(page, look = async () => {}) {
  await page.goto(url);
  await page.locator('html[data-follows="yes"]').waitFor();
  await sees(page, "newcomer");
  await look("newcomer");
  for (let views = 0; views < 5; views += 1) {
    same(await tierOf(page), "newcomer", `after ${views} looks`);
    await page.getByRole("button", { name: "Look closer" }).nth(views).click();
  }
  await sees(page, "window_shopper");
  await look("window_shopper");
  // Who has bought is no window shopper, and no more than that before 100 are spent.
  await page.getByRole("button", { name: "Buy Stove pot for €41" }).click();
  await sees(page, "newcomer");
  for (let bought = 0; bought < 2; bought += 1) {
    same(await tierOf(page), "newcomer", `after ${bought + 1} purchases`);
    await page.getByRole("button", { name: "Buy Stove pot for €48" }).click();
  }
  await sees(page, "high_value");
  await look("high_value");
}

/** Goes through the shop with eyes open. */
async function look(browser) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
  context.setDefaultTimeout(DEADLINE);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(error.stack));
  page.on("console", (line) => line.type() === "error" && faults.push(line.text()));
  const titles = new Set();
  try {
    await visit(page, async (tier) => {
      titles.add(await title(page));
      for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        await accessible(page, `${tier}, ${colorScheme}`);
        await page.screenshot({ path: `${pictures}/shop-${tier}-${colorScheme}.png`, fullPage: true });
      }
    });
    same(titles.size, 3, "three home pages");
    console.log("done the page changes with its visitor");

    await until("the figures", async () => /^\d+\.\d ms$/.test(await page.locator("#p99").innerText()));
    const rows = await page.locator("#changes li").allInnerTexts();
    same(rows.length, 3, "changes");
    same(rows.filter((it) => /ms after the click/.test(it)).length, 3, "those a click brought");
    same(await page.locator("#spent").innerText(), "€137", "what was spent");
    console.log("done the time from click to changed page is shown");

    const response = await page.reload();
    holds((await response.text()).includes('data-tier="high_value"'), "the server draws it at once for who it knows");
    await sees(page, "high_value");
    await page.setViewportSize({ width: 360, height: 740 });
    holds(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "it fits a phone");
    await accessible(page, "on a phone");
    console.log("done who comes back is known");

    const console_ = await page.getByRole("link", { name: "Open the console" }).getAttribute("href");
    const answer = await fetch(console_.split("#")[0]);
    holds((await answer.text()).includes("Rivulet"), "the console is there");
    const visitor = await page.locator("#visitor").innerText();
    await page.getByRole("button", { name: "Be someone new" }).click();
    await until("another visitor", async () => ![visitor, "…"].includes(await page.locator("#visitor").innerText()));
    await sees(page, "newcomer");
    console.log("done the next one begins anew");
    same(faults, [], "errors in the page");
  } catch (error) {
    await page.screenshot({ path: `${pictures}/shop-failed.png`, fullPage: true });
    throw new Error(`${error.message}; in the page: ${JSON.stringify(faults)}`, { cause: error });
  }
}

/** Looks around, and waits. */
async function fall(browser) {
  const context = await browser.newContext();
  context.setDefaultTimeout(DEADLINE);
  const page = await context.newPage();
  await page.goto(url);
  await page.locator('html[data-follows="yes"]').waitFor();
  await until("a window shopper", async () => {
    if ((await tierOf(page)) === "window_shopper") return true;
    // All at once: the window may be short, and the machine busy.
    await page.evaluate(() => [...document.querySelectorAll("[data-look]")].slice(0, 5).forEach((it) => it.click()));
    return false;
  });
  await sees(page, "newcomer");
  const last = await page.locator("#changes li").first().innerText();
  holds(/window shopper → newcomer\s+by itself/.test(last), last);
  console.log("done it falls back by itself");
}

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
try {
  if (how === "fall") await fall(browser);
  else if (!how) await look(browser);
  for (let number = 0; number < Number(how); number += 1) {
    const context = await browser.newContext();
    context.setDefaultTimeout(DEADLINE);
    await visit(await context.newPage());
    await context.close();
  }
} finally {
  await browser.close();
}
