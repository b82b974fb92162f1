import { describe, expect, it } from "vitest";
import { HubError, RequestError } from "../../src/errors.ts";
import { createApp } from "../../src/server/app.ts";
import type { PullModel } from "../../src/server/pull_model.ts";
import { PATIENT } from "../support/patience.ts";
import { fakeModel } from "./fake_model.ts";

const DIGEST = "0123456789abcdef0123";

const post = async (body: object, pull?: PullModel, signal?: AbortSignal): Promise<Response> =>
  createApp(fakeModel(), pull && { pull }).request("/api/pull", {
    method: "POST",
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });

const linesOf = async (response: Response): Promise<unknown[]> =>
  (await response.text())
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

/** A download that tells its progress and then waits for `end`. */
function download(end: Promise<void> = Promise.resolve()) {
  const names: string[] = [];
  const pull: PullModel = async (name, { onProgress }) => {
    names.push(name);
    for (const completed of [10, 20]) onProgress({ digest: DIGEST, completed, total: 30 });
    await end;
  };
  return { names, pull };
}

describe("/api/pull", () => {
  it("tells the progress in lines, as the last one of it stands; :latest is no tag of the hub", async () => {
    const { names, pull } = download();
    const response = await post({ model: "acme/moe:latest" }, pull);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/x-ndjson"]);
    expect(await linesOf(response)).toEqual([
      { status: "pulling manifest" },
      { status: "pulling 0123456789ab", digest: DIGEST, completed: 20, total: 30 },
      { status: "verifying sha256 digest" },
      { status: "writing manifest" },
      { status: "success" },
    ]);
    expect(names).toEqual(["acme/moe"]);
  });

  it("answers whole; `name` is the older name of the field", async () => {
    const { names, pull } = download();
    const response = await post({ name: "acme/moe:Q4_K_M", stream: false }, pull);
    expect(await response.json()).toEqual({ status: "success" });
    expect(names).toEqual(["acme/moe:Q4_K_M"]);
  });

  it.each<[Error, number]>([
    [new RequestError("no name"), 400],
    [new HubError("the hub has no model acme/none", 404), 500],
  ])("%s", async (error, status) => {
    const pull: PullModel = async () => {
      throw error;
    };
    const whole = await post({ model: "acme/none", stream: false }, pull);
    expect([whole.status, await whole.json()]).toEqual([status, { error: error.message }]);
    const streamed = await post({ model: "acme/none" }, pull);
    expect(await linesOf(streamed)).toEqual([{ status: "pulling manifest" }, { error: error.message }]);
  });

  it("ends with its client", async () => {
    let reason: unknown = null;
    const pull: PullModel = (_, { signal }) =>
      new Promise((_, reject) => {
        signal.addEventListener("abort", () => {
          reason = signal.reason;
          reject(signal.reason);
        });
      });
    const response = await post({ model: "acme/moe" }, pull);
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    await expect.poll(() => reason, PATIENT).toMatchObject({ name: "AbortError" });
  });

  it("is refused where the operator did not allow it, with what to do; what is here is a success", async () => {
    for (const stream of [true, false]) {
      const refused = await post({ model: "acme/moe", stream });
      expect([refused.status, await refused.json()]).toEqual([
        403,
        { error: expect.stringMatching(/`hotset pull acme\/moe`.*--allow-pull/) },
      ]);
      const here = await post({ model: `${fakeModel().name}:latest`, stream });
      expect([here.status, await here.json()]).toEqual([200, { status: "success" }]);
    }
    const { pull } = download();
    expect((await post({}, pull)).status).toBe(400);
  });
});
