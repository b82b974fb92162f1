import { describe, expect, it } from "vitest";
import { createApp, type ServerOptions } from "../../src/server/app.ts";
import { fakeModel } from "./fake_model.ts";

async function status(options: ServerOptions, headers: Record<string, string>, url = "/v1/models"): Promise<number> {
  return (await createApp(fakeModel(), options).request(url, { headers })).status;
}

describe("the API key", () => {
  const options = { apiKey: "secret" };
  it.each<[Record<string, string>, number]>([
    [{ authorization: "Bearer secret" }, 200],
    [{ authorization: "bearer secret" }, 200],
    [{ "x-api-key": "secret" }, 200],
    [{ "x-api-key": "secret", authorization: "Bearer other" }, 200],
    [{}, 401],
    [{ authorization: "Bearer secre" }, 401],
    [{ authorization: "Bearer secret2" }, 401],
    [{ authorization: "Bearer " }, 401],
    [{ authorization: "Basic secret" }, 401],
    [{ authorization: "secret" }, 401],
    [{ "x-api-key": "" }, 401],
    [{ "x-api-key": "x".repeat(10_000) }, 401],
    [{ "api-key": "secret" }, 200],
    [{ "api-key": "other" }, 401],
  ])("%j: %i", async (headers, expected) => {
    expect(await status(options, headers)).toBe(expected);
    expect(await status(options, headers, "/metrics")).toBe(expected);
    expect(await status(options, headers, "/health")).toBe(200);
  });

  it.each<[object | string, Record<string, string>, number]>([
    [{ key: "secret" }, {}, 200],
    [{ key: "other" }, {}, 401],
    [{ key: "" }, {}, 401],
    [{ key: 7 }, {}, 401],
    [{}, {}, 401],
    ["{", {}, 401],
    ["x".repeat(70_000), {}, 401],
    [{ key: "secret" }, { authorization: "Bearer other" }, 401],
    [{ key: "secret" }, { "content-type": "text/plain" }, 200],
    [{ key: "secret" }, { "content-type": "text/plain", origin: "http://localhost:3000" }, 401],
  ])("in the body: %j %j: %i", async (body, headers, expected) => {
    const whole =
      typeof body === "string" ? body : JSON.stringify({ messages: [{ role: "user", content: "hi" }], ...body });
    const app = createApp(fakeModel(), { ...options, bodyLimit: 65_536 });
    for (const path of ["/v1/chat/completions", "/api/v7/llm/chat/completions"]) {
      const response = await app.request(path, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: whole,
      });
      expect(response.status).toBe(expected);
    }
  });

  it("is asked for before a path is looked up, and in each API's shape", async () => {
    const app = createApp(fakeModel(), options);
    expect((await app.request("/nothing")).status).toBe(401);
    const openai = await app.request("/v1/chat/completions", { method: "POST" });
    expect(await openai.json()).toMatchObject({ error: { type: "authentication_error", code: "invalid_api_key" } });
    const anthropic = await app.request("/v1/messages", { method: "POST" });
    expect(await anthropic.json()).toMatchObject({ type: "error", error: { type: "authentication_error" } });
  });
});

describe("web pages and names", () => {
  it.each<[string, Record<string, string>, ServerOptions, number]>([
    ["http://localhost:8080", {}, {}, 200],
    ["http://127.0.0.1:8080", {}, {}, 200],
    ["http://[::1]:8080", {}, {}, 200],
    ["http://192.168.1.7:8080", {}, {}, 200],
    ["http://app.localhost:8080", {}, {}, 200],
    ["http://evil.com:8080", {}, {}, 403],
    ["http://127.0.0.1.nip.io:8080", {}, {}, 403],
    ["http://localhost.evil.com:8080", {}, {}, 403],
    ["http://hotset.example", {}, { hosts: ["hotset.example"] }, 200],
    ["http://hotset.example.evil.com", {}, { hosts: ["hotset.example"] }, 403],
    ["http://localhost:8080", { origin: "http://localhost:8080" }, {}, 200],
    ["http://host.docker.internal:8080", {}, {}, 200],
    ["http://host.docker.internal.evil.com:8080", {}, {}, 403],
    ["http://internal:8080", {}, {}, 403],
    // Pages and applications of this machine, as Ollama takes them.
    ...[
      ["http://localhost:3000", 200],
      ["https://localhost", 200],
      ["http://127.0.0.1:5173", 200],
      ["http://0.0.0.0:3000", 200],
      ["http://[::1]:3000", 200],
      ["https://tauri.localhost", 200],
      ["app://obsidian.md", 200],
      ["tauri://localhost", 200],
      ["file://", 200],
      ["vscode-webview://0a1b", 200],
      ["http://localhost.evil.com", 403],
      ["http://localhost:3000.evil.com", 403],
      ["http://evil.com/localhost", 403],
      ["http://127.0.0.1.nip.io:3000", 403],
      ["http://192.168.1.9:3000", 403],
      ["ftp://localhost", 403],
    ].map(([origin, status]): [string, Record<string, string>, ServerOptions, number] => [
      "http://localhost:8080",
      { origin: `${origin}` },
      {},
      Number(status),
    ]),
    ["http://localhost:8080", { origin: "https://evil.com" }, {}, 403],
    ["http://localhost:8080", { origin: "null" }, {}, 403],
    ["http://evil.com:8080", { origin: "http://evil.com:8080" }, {}, 403],
    ["http://evil.com:8080", { origin: "http://evil.com:8080" }, { cors: ["*"] }, 403],
    ["http://localhost:8080", { origin: "https://app.example" }, { cors: ["https://app.example"] }, 200],
    ["http://localhost:8080", { origin: "https://app.example.evil.com" }, { cors: ["https://app.example"] }, 403],
    ["http://localhost:8080", { origin: "https://anything" }, { cors: ["*"] }, 200],
    ["http://localhost.:8080", {}, {}, 200],
    ["http://[::ffff:7f00:1]", {}, {}, 200],
    ["http://gpu-7:8080", {}, { hosts: ["*"] }, 200],
    ["http://llm.example", {}, { hosts: ["*.example"] }, 200],
    ["http://a.llm.example:1", {}, { hosts: ["*.example"] }, 200],
    ["http://example", {}, { hosts: ["*.example"] }, 403],
    ["http://llm.example.com", {}, { hosts: ["*.example"] }, 403],
    ["http://llmexample", {}, { hosts: ["*.example"] }, 403],
    ["http://llm.example:9443", {}, { hosts: ["llm.example:9443"] }, 200],
    ["http://llm.example:9444", {}, { hosts: ["llm.example:9443"] }, 403],
    ["http://llm.example", {}, { hosts: ["llm.example:443"] }, 200],
    ["http://llm.example", {}, { hosts: ["llm.example:9443"] }, 403],
    ["http://b", {}, { hosts: ["a, b"] }, 200],
    ["http://hotset_1", {}, { hosts: ["hotset_1"] }, 200],
    ["http://LLM.example", {}, { hosts: ["llm.EXAMPLE."] }, 200],
    ["http://xn--bcher-kva.example", {}, { hosts: ["b\u00fccher.example"] }, 200],
    // A page of the server's own host, which a gateway reaches by TLS.
    ["http://llm.example", { origin: "https://llm.example" }, { hosts: ["llm.example"] }, 200],
    ["http://llm.example:8443", { origin: "https://llm.example:8443" }, { hosts: ["*"] }, 200],
    ["http://llm.example", { origin: "https://llm.example:8443" }, { hosts: ["*"] }, 403],
    ["http://llm.example", { origin: "https://other.example" }, { hosts: ["*"] }, 403],
    ["http://localhost", { origin: "https://llm.example", "sec-fetch-site": "same-origin" }, {}, 200],
    ["http://localhost", { origin: "https://llm.example", "sec-fetch-site": "cross-site" }, {}, 403],
    ["http://evil.com", { origin: "http://evil.com", "sec-fetch-site": "same-origin" }, {}, 403],
  ])("%s %j %j: %i", async (base, headers, options, expected) => {
    expect(await status(options, headers, `${base}/v1/models`)).toBe(expected);
  });

  it("probes are answered under any name", async () => {
    for (const path of ["/health", "/metrics"])
      expect(await status({}, {}, `http://10-0-0-7.pod:8080${path}`)).toBe(200);
  });

  it.each([
    "",
    "https://llm.example",
    "llm.example/",
    "a*.example",
    "*.*",
    ".example",
    "a b",
    "llm.example:99999",
    "a,,b",
  ])("%j could never match: it is refused", (host) => {
    expect(() => createApp(fakeModel(), { hosts: [host] })).toThrow(/hosts, --allow-host: .*expected "llm\.example"/);
  });

  it("CORS headers for allowed origins only, on failures too; preflights need no key", async () => {
    const app = createApp(fakeModel(), { cors: ["https://app.example"], apiKey: "k" });
    const origin = "https://app.example";
    const preflight = await app.request("/v1/chat/completions", {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "authorization" },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get("access-control-allow-origin")).toBe(origin);
    expect(preflight.headers.get("access-control-allow-headers")).toBe("authorization");
    const refused = await app.request("/v1/models", { headers: { origin } });
    expect([refused.status, refused.headers.get("access-control-allow-origin")]).toEqual([401, origin]);
    const none = createApp(fakeModel());
    expect((await none.request("/v1/models")).headers.get("access-control-allow-origin")).toBeNull();
    const local = await none.request("/v1/models", { headers: { origin: "http://localhost:3000" } });
    expect(local.headers.get("access-control-allow-origin")).toBe("http://localhost:3000");
  });
});
