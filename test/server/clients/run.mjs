// Installs the official clients beside the repository and runs check.mjs with them. Not part of
// `npm test`: 120 MB of packages.
//
//   node src/setup.mjs && node test/server/clients/run.mjs <folder> [base URL]
//
// folder: where the clients are, or are installed if it holds none. Without a base URL a server
// with a scripted model is started (dist must be built); with one, its answers are only checked for
// their shape.

import { spawn, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const CLIENTS = [
  ...["openai", "@anthropic-ai/sdk", "@mistralai/mistralai", "@openrouter/sdk", "ollama", "zod"],
  ...["ai", "@ai-sdk/openai", "@ai-sdk/openai-compatible", "@ai-sdk/anthropic", "@ai-sdk/mistral"],
  ...["@openrouter/ai-sdk-provider"],
  ...["langchain", "@langchain/core", "@langchain/openai", "@langchain/anthropic", "@langchain/ollama"],
  ...["llamaindex", "@llamaindex/openai", "@llamaindex/anthropic", "@llamaindex/ollama"],
];

if (process.argv[2] === undefined)
  throw new Error("expected the folder that the clients are, or will be, installed in");
const folder = resolve(process.argv[2]);
if (!existsSync(join(folder, "node_modules", "openai"))) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }\n');
  const install = ["install", "--no-audit", "--no-fund", ...CLIENTS];
  if (spawnSync("npm", install, { cwd: folder, stdio: "inherit" }).status !== 0) process.exit(1);
}
// A module finds packages beside itself.
cpSync(fileURLToPath(new URL(".", import.meta.url)), join(folder, "checks"), { recursive: true });

const env = { ...process.env, BASE: process.argv[3] ?? "", FAKE: "0" };
let server;
if (env.BASE === "") {
  const { startServer } = await import("../../../dist/src/server/node_serve.js");
  const { scriptedModel } = await import("../../../dist/test/server/scripted.js");
  server = await startServer(scriptedModel(), { port: 0, apiKey: "k", log: console.error });
  Object.assign(env, { BASE: server.url, FAKE: "1" });
}
const child = spawn(process.execPath, ["checks/check.mjs"], { cwd: folder, env, stdio: "inherit" });
child.on("exit", async (code) => {
  await server?.close();
  process.exit(code ?? 1);
});
