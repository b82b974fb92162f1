// `hotset serve` under load, as a process of its own: every answer right, and how fast. Not part of
// `npm test`: it takes minutes.
//
//   node src/setup.mjs && node test/server/load.mjs [--folder models/tales] [--seconds 60] [--clients 64] [--name <of a file in bench/results>] [-- options of serve]
//
// 1. Each prompt alone, greedy: what the answers under load must be.
// 2. Tokens a second with one client and with 16, in turns.
// 3. All clients stream for a minute; time to the first token, errors, and answers that differ.
// 4. What is left: answers running, and memory.

import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { commit, machine } from "../../dist/bench/result.js";

const { values, positionals } = parseArgs({
  options: {
    folder: { type: "string", default: "models/tales" },
    seconds: { type: "string", default: "60" },
    clients: { type: "string", default: "64" },
    tokens: { type: "string", default: "48" },
    name: { type: "string" },
  },
  allowPositionals: true,
});
const [SECONDS, CLIENTS, TOKENS] = [values.seconds, values.clients, values.tokens].map(Number);
const SERVE = positionals.length > 0 ? positionals : ["--backend", "cpu", "--weights", "q4"];
const WHO = ["king", "fisherman", "princess", "wolf", "tailor", "miller", "raven", "soldier"];
const WHERE = ["in a dark forest", "by the sea", "in a castle", "under a hill"];
const PROMPTS = WHERE.flatMap((where) => WHO.map((who) => `Once upon a time there was a ${who} who lived ${where}`));

const server = spawn(
  process.execPath,
  ["dist/src/cli/main.js", "serve", values.folder, "--port", "0", "--log", "off", ...SERVE],
  {
    stdio: ["ignore", "pipe", "inherit"],
  },
);
process.on("exit", () => server.kill("SIGKILL"));
let base = null;
for await (const line of createInterface({ input: server.stdout })) {
  base = /Anthropic: (http:\S+?)\)/.exec(line)?.[1] ?? null;
  if (base !== null) break;
}
if (base === null) throw new Error("the server ended before it listened");

/** One streamed answer: its text, how many tokens it has, and ms to the first of them. */
async function answer(prompt) {
  const started = performance.now();
  const body = { model: "m", prompt, max_tokens: TOKENS, temperature: 0, stream: true };
  const response = await fetch(`${base}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, stream_options: { include_usage: true } }),
  });
  if (response.status !== 200) throw new Error(`${response.status} ${await response.text()}`);
  let [held, text, first, tokens, whole] = ["", "", null, 0, false];
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    held += chunk;
    const events = held.split("\n\n");
    held = events.pop();
    for (const event of events) {
      if (!event.startsWith("data: ")) continue;
      if (event === "data: [DONE]") {
        whole = true;
        continue;
      }
      const { choices, usage, error } = JSON.parse(event.slice(6));
      if (error) throw new Error(error.message);
      if (choices[0]?.text) first ??= performance.now() - started;
      text += choices[0]?.text ?? "";
      tokens = usage?.completion_tokens ?? tokens;
    }
  }
  if (!whole) throw new Error("the stream broke off");
  return { text, tokens, first: first ?? performance.now() - started };
}

const expected = new Map();
for (const prompt of PROMPTS) expected.set(prompt, (await answer(prompt)).text);

/** `clients` ask one prompt after the other for so long. */
async function load(clients, seconds) {
  const started = performance.now();
  const end = started + seconds * 1000;
  const out = { tokens: 0, answers: 0, wrong: [], errors: [], firsts: [] };
  const client = async (i) => {
    for (let n = i * 5; performance.now() < end; n++) {
      const prompt = PROMPTS[n % PROMPTS.length];
      try {
        const { text, tokens, first } = await answer(prompt);
        out.answers++;
        out.tokens += tokens;
        out.firsts.push(first);
        if (text !== expected.get(prompt)) out.wrong.push({ prompt, text, expected: expected.get(prompt) });
      } catch (error) {
        out.errors.push(String(error));
      }
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, i) => client(i)));
  return { ...out, tps: out.tokens / ((performance.now() - started) / 1000) };
}

const memory = () =>
  Number(spawnSync("ps", ["-o", "rss=", "-p", String(server.pid)], { encoding: "utf8" }).stdout) / 1024;
async function metric(name) {
  const text = await (await fetch(`${base}/metrics`)).text();
  return Number(new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1]);
}
const middle = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];
const share = (list, part) => list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(part * list.length))];

const [one, sixteen] = [[], []];
for (let round = 0; round < 3; round++) {
  one.push((await load(1, 6)).tps);
  sixteen.push((await load(16, 6)).tps);
}
await load(CLIENTS, 5); // the KV cache as large as it gets
const before = memory();
const { answers, wrong, errors, firsts, tps } = await load(CLIENTS, SECONDS);
await new Promise((resolve) => setTimeout(resolve, 2000));
const [running, queued] = [await metric("hotset_requests_running"), await metric("hotset_requests_queued")];
const report = {
  folder: values.folder,
  serve: SERVE.join(" "),
  tokensPerAnswer: TOKENS,
  tokensPerSecond: {
    one: middle(one),
    sixteen: middle(sixteen),
    ratio: middle(sixteen) / middle(one),
    rounds: { one, sixteen },
  },
  load: {
    clients: CLIENTS,
    seconds: SECONDS,
    answers,
    tokensPerSecond: tps,
    firstTokenMs: { p50: share(firsts, 0.5), p99: share(firsts, 0.99) },
    errors: errors.length,
    wrong: wrong.length,
  },
  after: { running, queued, rssMiB: { before, after: memory() } },
};
console.log(JSON.stringify(report, null, 2));
if (values.name !== undefined) {
  const root = new URL("../../", import.meta.url);
  const command = ["node", "test/server/load.mjs", ...process.argv.slice(2)].join(" ");
  const about = { schema: 1, name: values.name, date: new Date().toISOString(), command, commit: commit(root) };
  const text = JSON.stringify({ ...about, machine: machine(), ...report }, null, 2);
  writeFileSync(new URL(`bench/results/${values.name}.json`, root), `${text}\n`);
}
for (const error of errors.slice(0, 3)) console.error(error);
for (const one of wrong.slice(0, 3)) console.error(one);
process.exit(errors.length + wrong.length + running + queued === 0 && answers > 0 ? 0 : 1);
