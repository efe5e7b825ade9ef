// A job that answers only those who bear a token.
import { accessible, checks, ready, same, until } from "./browser.mjs";

await checks({
  async "a token is asked for, and kept in the tab only"({ open, picture }) {
    const page = await open();
    const dialog = page.getByRole("dialog", { name: "A token is asked for" });
    await dialog.waitFor();
    await accessible(page, "asked for a token");
    await picture(page, "token");
    await dialog.getByLabel("Token").fill("wrong");
    await dialog.getByRole("button", { name: "Go on" }).click();
    await until("it is asked for again", async () => (await dialog.isVisible()) && (await dialog.getByLabel("Token").inputValue()) === "");
    await dialog.getByLabel("Token").fill("for reading");
    await page.keyboard.press("Enter");
    await ready(page);
    const kept = await page.evaluate(() => [Object.values(sessionStorage), Object.values(localStorage), document.cookie]);
    same(kept, [["for reading"], [], ""], "where the token is");
    await page.locator("#tail").getByText("live,").waitFor();
    await page.reload();
    await ready(page);
    same(await dialog.isVisible(), false, "asked for again");
  },
});
