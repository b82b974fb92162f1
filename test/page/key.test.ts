// The API key: asked for once, for all requests that wait; kept for the tab, longer only if wanted.

import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { fakeModel } from "../server/fake_model.ts";
import { noChromium } from "../support/chromium.ts";
import { titled } from "../support/fixtures.ts";
import { PATIENT } from "../support/patience.ts";
import { some } from "../support/some.ts";
import { axeFinds, hostPage, type PageHost } from "./open_page.ts";

describe.skipIf(noChromium)(titled("a server that wants a key", noChromium), () => {
  let host: PageHost;
  beforeAll(async () => {
    host = await hostPage(fakeModel(), { apiKey: "secret" });
  });
  afterEach(() => host.leave());
  afterAll(() => host?.close());

  const kept = "[sessionStorage, localStorage].map((one) => one.getItem('hotset.key'))";

  it.each(
    some(
      [
        [false, ["secret", null]],
        [true, ["secret", "secret"]],
      ] as const,
      1,
    ),
  )("asks once; remembered: %s", async (remember, places) => {
    const { page } = await host.visit();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("API key").fill("wrong");
    await page.keyboard.press("Enter");
    await dialog.getByText("The server refused the last key.").waitFor();
    expect(await axeFinds(page)).toEqual([]);
    await dialog.getByLabel("API key").fill("secret");
    if (remember) await dialog.getByRole("checkbox").check();
    await dialog.getByRole("button", { name: "Use this key" }).click();
    await page.getByRole("combobox", { name: "Model" }).waitFor();
    await page.getByRole("spinbutton", { name: "Temperature" }).waitFor();
    expect(await dialog.count()).toBe(0);
    expect(await page.evaluate(kept)).toEqual(places);
    await page.locator("#message").fill("hi");
    await page.keyboard.press("Enter");
    await expect.poll(() => page.locator(".message").last().innerText(), PATIENT).toContain("Hi");
    await page.reload();
    await page.getByRole("combobox", { name: "Model" }).waitFor();
    expect(await dialog.count()).toBe(0);
    const other = await page.context().newPage();
    await other.goto(host.server.url);
    if (remember) await other.getByRole("combobox", { name: "Model" }).waitFor();
    else await other.getByRole("dialog").waitFor();
    expect(page.url()).not.toContain("secret");

    await page.getByRole("button", { name: "Forget the API key" }).click();
    expect(await page.evaluate(kept)).toEqual([null, null]);
    expect(await page.getByRole("button", { name: "Forget the API key" }).count()).toBe(0);
    expect(await axeFinds(page)).toEqual([]);
    await page.reload();
    await dialog.waitFor();
  });

  it("goes on without one where the person gives none, and says what the server said", async () => {
    const { page } = await host.visit();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("alert").getByText("expected the server's API key").waitFor();
    await page.getByRole("alert").getByRole("button", { name: "Try again" }).click();
    await page.getByRole("dialog").waitFor();
  });

  it("another origin can read nothing", async () => {
    const { page } = await host.visit();
    const { url } = host.server;
    await page.route("http://evil.example/**", (route) =>
      route.fulfill({ contentType: "text/html", body: "<p>x</p>" }),
    );
    await page.goto("http://evil.example/");
    const read = (path: string) =>
      page.evaluate(
        `fetch("${url}${path}", { headers: { authorization: "Bearer secret" } }).then((r) => r.text(), () => "refused")`,
      );
    for (const path of ["/", "/v1/models", "/hotset/parameters"]) expect(await read(path)).toBe("refused");
    const framed = page.evaluate(`new Promise((resolve) => {
      const frame = document.createElement("iframe");
      frame.src = "${url}/";
      frame.onload = () => { try { resolve(frame.contentDocument?.body?.innerHTML ?? "closed"); } catch { resolve("closed"); } };
      document.body.append(frame);
    })`);
    expect(await framed).not.toContain('id="page"');
  });
});
