// Every panel against a running job.
import { accessible, api, checks, holds, panel, ready, same, send, textOf, until, write } from "./browser.mjs";

const LIGHT_MAX = 300_000;
const rule = (id, op) => JSON.stringify({ id, name: "Tablets", rules: { attribute: "platform", op, value: "tablet" } }, null, 2);

let clock = (await api("/v1/segments")).as_of;
/** Sets the attributes of a user, a while after all that was before. */
const sets = (userId, traits) => send({ type: "identify", userId, timestamp: (clock += 3_600_000), traits });
const sizeOf = (page, id) => textOf(page.locator("#segment-list .row", { hasText: id }).locator(".size"));

await checks({
  async "the segments are listed with their sizes"({ open, seen }) {
    const { segments } = await api("/v1/segments");
    const page = await open({ prepare: async (page) => {
      page.on("response", async (response) => {
        if (!/\/$|\/console\//.test(new URL(response.url()).pathname)) return;
        seen.bytes += (await response.request().sizes()).responseBodySize;
      });
    } });
    await ready(page);
    const shown = await page.locator("#segment-list .row .id").allInnerTexts();
    same(shown, segments.map((it) => it.id), "ids");
    await until("the largest first", async () => {
      await page.getByLabel("Order").selectOption("size");
      const sizes = await page.locator("#segment-list .row .size").allInnerTexts();
      return sizes.every((it, index) => index === 0 || Number(it.replace(",", "")) <= Number(sizes[index - 1].replace(",", "")));
    });
    await page.getByLabel("Search segments").fill("cart");
    same(await page.locator("#segment-list .row .id").allInnerTexts(), ["cart_abandoner"], "found");
    // Two looks make a line.
    await page.locator("#segment-list .spark .line").first().waitFor({ state: "attached" });
    holds(seen.bytes > 0 && seen.bytes < LIGHT_MAX, `${seen.bytes} bytes are fewer than ${LIGHT_MAX}`);
    console.log(`measured ${seen.bytes} bytes transferred`);
  },

  async "the job's rates and lag are shown"({ open }) {
    const page = await open();
    const tile = (title) => page.locator(".tile", { hasText: title });
    await until("a rate of records", async () => /^Records a second \d/.test(await textOf(tile("Records"))));
    await until("a lag", async () => /Watermark lag \d+ d/.test(await textOf(tile("Watermark lag"))));
    await until("times of look-ups", async () => /p99 [\d.]+ (ms|s)/.test(await textOf(tile("Look-ups"))));
    same(await textOf(page.locator(".status")), "up to date", "status");
  },

  async "a difference appears in the tail"({ open }) {
    const page = await open();
    const tail = panel(page, "tail");
    await tail.getByText("live,").waitFor();
    const filtered = page.waitForResponse(/diffs\?user=visitor/);
    await tail.getByLabel("Only of this user").fill("visitor 1");
    await filtered;
    await until("it is there", async () => {
      sets("visitor 1", { platform: "desktop" });
      sets("visitor 1", { platform: "mobile", user_lifecycle: "new" });
      return (await tail.locator(".row").count()) > 0;
    });
    const row = await textOf(tail.locator(".row").first());
    holds(/entered visitor 1 mobile_newcomer|left visitor 1/.test(row), row);
    await tail.getByRole("button", { name: "Pause" }).click();
    const known = async () => Number(await tail.locator(".row").first().getAttribute("aria-setsize"));
    const before = await known();
    await until("newer ones wait", async () => {
      sets("visitor 1", { platform: "desktop" });
      sets("visitor 1", { platform: "mobile" });
      return /Standing still, newer: [1-9]/.test(await textOf(tail.locator(".foot")));
    });
    same(await known(), before, "rows while paused");
    await tail.getByRole("button", { name: "Resume" }).click();
    await until("they are shown", async () => (await known()) > before);
  },

  async "a user's card has segments and what came before"({ open, picture }) {
    const { users } = await api("/v1/segments/mobile_newcomer/users?limit=1");
    const { segments } = await api(`/v1/users/${users[0]}/segments`);
    const page = await open({}, `#segment=mobile_newcomer`);
    await ready(page);
    await page.getByRole("tab", { name: "Members" }).click();
    await page.locator("#member-list .row").first().click();
    const card = panel(page, "user");
    await until("their segments", async () => (await card.locator(".chip").count()) === segments.length);
    same((await card.locator(".chip").allInnerTexts()).sort(), [...segments].sort(), "segments");
    await card.locator(".timeline li").first().waitFor();
    holds(/mobile_newcomer/.test(await textOf(card.locator(".timeline"))), "they entered it once");
    same(await card.getByLabel("Id of a user").inputValue(), users[0], "the id");
    await until("their attributes", async () => {
      const { attributes } = await api(`/v1/users/${encodeURIComponent(users[0])}/attributes`);
      const shown = await card.locator(".attributes dt").allInnerTexts();
      return shown.length > 0 && shown.join() === Object.keys(attributes).join();
    });
    await picture(page, "user");
    await accessible(page, "with a user");
  },

  async "a user's events are shown as far as windows hold them"({ open }) {
    const { segments } = await api("/v1/segments");
    const eventsOf = async (user) => (await api(`/v1/users/${user}/events?limit=50`)).events;
    let user;
    for (const { id } of segments) {
      const { users } = await api(`/v1/segments/${id}/users?limit=5`);
      for (const one of users) if (user == null && (await eventsOf(one)).length > 0) user = one;
    }
    holds(user != null, "windows hold events");
    const page = await open({}, `#user=${user}`);
    await ready(page);
    const card = panel(page, "user");
    await until("their events", async () => {
      const events = await eventsOf(user);
      const shown = await card.locator(".happened li").allInnerTexts();
      return shown.length === events.length && shown[0].includes(events[0].event);
    });
    await accessible(page, "with a user's events");
  },

  // A panel is shown where the server offers what it needs.
  async "sizes, reasons, estimates and overlaps are shown where they are offered"({ open, picture }) {
    const offers = new Set(Object.keys((await api("/openapi.json")).paths));
    const { users } = await api("/v1/segments/mobile_newcomer/users?limit=1");
    const page = await open({}, `#segment=mobile_newcomer&user=${users[0]}`);
    await ready(page);
    const [card, segment] = [panel(page, "user"), panel(page, "segment")];
    await card.locator(".chip").first().waitFor();
    same(await segment.getByText("Within the hour").count(), offers.has("/v1/segments/{id}/sizes") ? 1 : 0, "sizes over time");
    same(await segment.getByRole("button", { name: "Estimate" }).count(), offers.has("/v1/estimate") ? 1 : 0, "estimates");
    same(await segment.getByRole("tab", { name: "Overlap" }).count(), offers.has("/v1/overlap") ? 1 : 0, "overlaps");
    same(await card.getByRole("button", { name: "Explain" }).count(), offers.has("/v1/explain") ? 1 : 0, "reasons");
    if (offers.has("/v1/explain")) {
      await card.getByLabel("Why in this segment").fill("mobile_newcomer");
      await card.getByRole("button", { name: "Explain" }).click();
      await until("the tree", async () => /^In mobile_newcomer .*platform eq "mobile"/.test(await textOf(card.locator(".why"))));
      await card.getByLabel("Why in this segment").fill("stays_on_desktop");
      await card.getByRole("button", { name: "Explain" }).click();
      await until("another tree", async () => /^Not in stays_on_desktop/.test(await textOf(card.locator(".why"))));
    }
    if (offers.has("/v1/estimate")) {
      await segment.getByRole("button", { name: "Estimate" }).click();
      await until("an estimate", async () => /\d users? of \d+ would be in it now/.test(await textOf(segment.locator(".verdict"))));
      await accessible(page, "with an estimate and reasons");
    }
    if (offers.has("/v1/overlap")) {
      await segment.getByRole("tab", { name: "Overlap" }).click();
      await segment.getByLabel("Shared with").fill("stays_on_desktop");
      await until("what is shared", async () => /\d in both/.test(await textOf(segment.locator(".overlap"))));
      await accessible(page, "with an overlap");
    }
    await picture(page, "across");
  },

  async "the editor shows what is wrong at its node, and saves what is right"({ open, picture }) {
    const page = await open({}, "#segment=paid_buyer");
    await ready(page);
    await page.getByRole("button", { name: "New" }).click();
    await page.getByRole("heading", { name: "New segment" }).waitFor();
    await write(page, rule("tablets", "greater"));
    const faults = page.locator(".faults li");
    await until("the fault", async () => /rules\.op found "greater"; allowed: .*did you mean "gt"/.test((await faults.allInnerTexts()).join().replace(/\s+/g, " ")));
    same(await page.locator(".editor .cm-lintRange-error").innerText(), '"greater"', "what is marked");
    holds(await page.getByRole("button", { name: "Save" }).isDisabled(), "a wrong rule cannot be saved");
    await picture(page, "fault");
    await accessible(page, "with a fault");
    await write(page, '{"id": "tablets", "rules": {"attribute" "platform"}}');
    await until("where it is no JSON", async () => /line 1 column \d+/.test((await faults.allInnerTexts()).join()));
    await write(page, '{"id": "tablets", "rules": {"segment": "no_such"}}');
    await until("no such segment", async () => /no_such/.test((await faults.allInnerTexts()).join()));
    await write(page, rule("tablets", "eq"));
    await page.getByText("This can be saved.").waitFor();
    await page.keyboard.press("Control+S");
    await page.getByRole("heading", { name: "Tablets" }).waitFor();
    const { size } = await api("/v1/segments/tablets");
    holds(size > 0, "it has members");
    await until("its size is in the list", async () => (await sizeOf(page, "tablets")) === String(size));
    // What is changed takes effect.
    await write(page, rule("tablets", "neq"));
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Saved as version 2").waitFor();
    await until("other members", async () => (await sizeOf(page, "tablets")) !== String(size));
    await page.getByRole("tab", { name: "Versions" }).click();
    await page.getByText("Version 2").waitFor();
    await page.getByRole("tab", { name: "Rule" }).click();
    await page.getByRole("button", { name: "Delete" }).click();
    await accessible(page, "with a question");
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await until("it is gone", async () => (await page.locator("#segment-list .row", { hasText: "tablets" }).count()) === 0);
  },

  async "the editor completes what may stand there, from what has been seen"({ open, picture }) {
    const page = await open();
    await ready(page);
    await page.getByRole("button", { name: "New" }).click();
    await page.getByRole("heading", { name: "New segment" }).waitFor();
    const options = page.locator(".editor .cm-tooltip-autocomplete li");
    // The word, and what it says of it.
    const shown = () => options.evaluateAll((all) => all.map((it) => [...it.children].map((part) => part.textContent).join(" ")));
    const text = () => page.locator(".editor .cm-content").innerText();
    /** What is offered when this is typed: asked again until it is as expected. */
    const offer = async (before, typed, expected, after = "") => {
      let found = [];
      await until(`${expected} is offered for ${before}${typed}${after}, not ${found}`, async () => {
        await page.keyboard.press("Escape");
        await write(page, before + after);
        await page.keyboard.press("Control+End");
        for (let step = 0; step < after.length; step += 1) await page.keyboard.press("ArrowLeft");
        await page.keyboard.type(typed);
        for (let turn = 0; turn < 30; turn += 1) {
          found = await shown();
          if (found.some((it) => expected.test(it))) return true;
          if (turn === 15) await page.keyboard.press("Control+Space");
          await page.waitForTimeout(50);
        }
        return false;
      });
      return found;
    };
    /** Keys do nothing to a list that has only just opened. */
    const choose = async (...keys) => {
      await page.waitForTimeout(200);
      for (const key of keys) await page.keyboard.press(key);
    };
    const rules = (inner) => `{"id":"x","rules":{${inner}`;
    await offer(rules(""), '"aggr', /^aggregate/);
    const keys = await offer(rules('"attribute": "platform", '), '"', /^held/);
    holds(keys.some((it) => it.startsWith("op")) && !keys.some((it) => /^(attribute|event|rules|property)/.test(it)), `keys that stand beside it: ${keys}`);
    await offer(rules('"segment": '), '"paid', /^paid_buyer segment, [\d,]+ users/);
    await choose("Enter");
    await until("it stands there", async () => (await text()).includes('"segment": "paid_buyer"'));
    const ops = await offer(rules('"attribute":"platform","op": '), '"', /^within_last/);
    holds(ops.indexOf("eq operator") < ops.findIndex((it) => it.startsWith("within_last")), `those that fit come first: ${ops}`);
    await offer(rules('"event": '), '"purch', /^purchase event, in .*% of records/);
    await offer(rules('"event":"add_to_cart","aggregate":"distinct","property": '), '"', /^session property, text/);
    await offer(rules('"event":"add_to_cart","where":{"attribute": '), '"', /^session property, text/, "}}}");
    await offer(rules('"attribute": '), '"user_l', /^user_lifecycle attribute, text/);
    // What rules say after the cursor counts, too; and all of it is done by keys.
    const values = await offer(rules('"op":"in","value":['), '"', /^desktop text, \d+ %/, '],"attribute":"platform"}}');
    holds(values[0].startsWith("desktop") && values.some((it) => it.startsWith("mobile")), `the most frequent first: ${values}`);
    await picture(page, "completion");
    await choose("ArrowDown", "Enter");
    await until("the second stands there", async () => (await text()).includes(`"value":["${values[1].split(" ")[0]}"]`));
    // What everyone has of their own is nobody's to see, though its name is.
    for (let user = 0; user < 40; user += 1) sets(`person ${user}`, { email: `person-${user}@example.com` });
    await offer(rules('"attribute": '), '"ema', /^email attribute, text/);
    for (const [of, there] of [["attribute=email", "scattered"], ["event=add_to_cart&property=session", "scattered"]]) {
      const { values, [there]: isSo } = await api(`/v1/names?${of}`);
      same([values, isSo], [[], true], of);
    }
  },

  async "records without effect are shown with their reasons"({ open }) {
    const page = await open();
    const records = panel(page, "records");
    send({ type: "track", event: "of nobody", timestamp: clock });
    await until("it is rejected", async () => /userId: missing.*of nobody/.test(await textOf(records.locator("li").first())));
    await records.getByRole("button", { name: "Late" }).click();
    await until("it is late", async () => {
      send({ type: "track", userId: "late one", event: "purchase", timestamp: clock - 86_400_000 * 3 });
      return (await records.locator("li", { hasText: "late one" }).count()) > 0;
    });
    holds(/late /.test(await textOf(records.locator("li", { hasText: "late one" }).first())), "by how much");
  },

  async "all can be done by keys"({ open, picture }) {
    const page = await open();
    await ready(page);
    const focused = () => page.evaluate(() => document.activeElement.id);
    await page.keyboard.press("Tab");
    same(await textOf(page.locator(":focus")), "Skip to the segments", "the first stop");
    await page.keyboard.press("Enter");
    same(await focused(), "segments", "skipped to");
    for (const [key, id] of [["/", "search"], ["u", "user-id"], ["d", "tail-list"]]) {
      await page.keyboard.press(key);
      same(await focused(), id, `after ${key}`);
      if (key !== "d") await page.locator(":focus").blur();
    }
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    await accessible(page, "with the keys");
    await picture(page, "keys");
    await page.keyboard.press("Escape");
    await page.locator("#segment-list").focus();
    const second = await textOf(page.locator("#segment-list .row .name").nth(1));
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowDown");
    await page.getByRole("heading", { name: second, level: 2 }).waitFor();
    same(await page.locator("#segment-list").getAttribute("aria-activedescendant"), "segment-list-1", "the second is chosen");
  },

  async "light, dark and on a phone"({ open, picture }) {
    for (const [name, options] of Object.entries({
      light: {}, dark: { colorScheme: "dark" }, tablet: { viewport: { width: 900, height: 1200 } },
      phone: { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true }, "phone-dark": { viewport: { width: 360, height: 740 }, colorScheme: "dark" },
    })) {
      const page = await open({ ...options, prepare: (page) => page.addInitScript(() => {
        self.shifts = [];
        new PerformanceObserver((list) => list.getEntries().forEach((it) => self.shifts.push([it.value, ...it.sources.map(({ node, previousRect: from, currentRect: to }) => `${(node?.parentElement ?? node)?.outerHTML?.slice(0, 100)} ${JSON.stringify(from)} ${JSON.stringify(to)}`)]))).observe({ type: "layout-shift", buffered: true });
      }) }, "#segment=stays_on_desktop&user=user_0042");
      await ready(page);
      await page.locator(".timeline li").first().waitFor();
      await until("a difference", async () => {
        sets("visitor 2", { platform: "desktop", user_lifecycle: "new" });
        sets("visitor 2", { platform: "mobile" });
        return (await page.locator("#tail-list .row").count()) > 0;
      });
      await page.locator(".chart canvas").waitFor();
      const back = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
      same(back, name.includes("dark") ? "rgb(14, 19, 24)" : "rgb(243, 245, 247)", `${name}: background`);
      const [whole, seen] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
      holds(whole <= seen, `${name}: ${whole} px are no wider than ${seen}`);
      const shifts = await page.evaluate(() => self.shifts);
      const moved = shifts.reduce((sum, [value]) => sum + value, 0);
      await accessible(page, name);
      await picture(page, name);
      console.log(`measured ${name} ${moved.toFixed(4)} layout shift`);
      holds(moved < 0.1, `${name}: ${moved} is little layout shift: ${shifts.filter(([value]) => value > 0.02).flat().join("\n")}`);
    }
  },

  async "ten thousand segments are a few rows"({ open }) {
    const segments = Array.from({ length: 10_000 }, (_, index) => ({ id: `segment_${String(index).padStart(5, "0")}`, name: null, size: index }));
    const page = await open({ prepare: (page) => page.route(/\/v1\/segments\?/, (route) => route.fulfill({ json: { segments, next: null, as_of: 0 } })) });
    await page.getByText("10,000 segments").waitFor();
    const rows = page.locator("#segment-list .row");
    await page.locator("#segment-list").focus();
    await page.keyboard.press("End");
    await page.locator("#segment-list .row", { hasText: "segment_09999" }).first().waitFor();
    const count = await rows.count();
    holds(count > 5 && count < 60, `${count} rows are few`);
  },
});
