// Runs a folder of JSON schemas through the grammar: which are accepted, why others are refused,
// and whether what is written is valid.
//
//   node src/setup.mjs && node test/grammar/corpus.mjs <folder> [--texts 5] [--changes 8] [--limit N] [--judges <folder>] [--out file]
//
// The folder holds schemas, or {"schema": ..., "tests": [{"data": ..., "valid": true}]}, one in
// each .json file. ajv is the judge. Draft 4 and formats are judged only where --judges names a
// folder with ajv-draft-04 and ajv-formats installed. Ends with 1 where a text was written, or an
// instance accepted, that the judge finds invalid.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";

if (isMainThread) await main();
else await work(workerData);

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      texts: { type: "string", default: "5" },
      changes: { type: "string", default: "8" },
      seconds: { type: "string", default: "60" },
      limit: { type: "string", default: "100000" },
      judges: { type: "string", default: "" },
      out: { type: "string", default: "" },
    },
  });
  const [folder] = positionals;
  if (folder === undefined) {
    console.error(
      "usage: node test/grammar/corpus.mjs <folder> [--texts N] [--changes N] [--limit N] [--judges folder]",
    );
    process.exit(2);
  }
  const files = readdirSync(folder).filter((name) => name.endsWith(".json"));
  const limit = Number(values.limit);
  const chosen = files.filter((_, i) => files.length <= limit || (i * limit) % files.length < limit);
  const options = { folder, judges: values.judges, texts: Number(values.texts), changes: Number(values.changes) };
  const results = [];
  let worker = null;
  for (const file of chosen) {
    worker ??= new Worker(new URL(import.meta.url), { workerData: options });
    const found = await answer(worker, file, Number(values.seconds));
    if (found.lost) {
      await worker.terminate();
      worker = null;
    }
    results.push({ file, ...found });
    if (process.stderr.isTTY) process.stderr.write(`\r${results.length}/${chosen.length} `);
  }
  await worker?.terminate();
  const wrong = report(results);
  if (values.out !== "") writeFileSync(values.out, JSON.stringify(results, null, 1));
  process.exit(wrong ? 1 : 0);
}

/** A worker's answer for a file; `lost` where the worker does not answer in time, or died. */
function answer(worker, file, seconds) {
  return new Promise((resolve) => {
    const end = (found) => {
      clearTimeout(timer);
      worker.off("message", end).off("error", failed).off("exit", gone);
      resolve(found);
    };
    const failed = (error) => end({ lost: true, refused: `died: ${error.message}` });
    const gone = (code) => end({ lost: true, refused: `died: exit ${code}` });
    const timer = setTimeout(() => end({ lost: true, refused: `no answer in ${seconds} s` }), seconds * 1000);
    worker.on("message", end).on("error", failed).on("exit", gone);
    worker.postMessage(file);
  });
}

function report(results) {
  const accepted = results.filter((one) => one.refused === undefined);
  const sum = (key) => accepted.reduce((total, one) => total + (one[key] ?? 0), 0);
  const all = (key) => accepted.flatMap((one) => (one[key] ?? []).map((text) => `${one.file}: ${text}`));
  const print = (title, lines, most = 40) => {
    if (lines.length > 0)
      console.log(
        `\n${title}: ${lines.length}\n${lines
          .slice(0, most)
          .map((l) => `  ${l}`)
          .join("\n")}`,
      );
  };
  const by = new Map();
  for (const one of results) {
    if (one.refused === undefined) continue;
    const reason = plain(one.refused);
    by.set(reason, [...(by.get(reason) ?? []), one.file]);
  }
  const reasons = [...by].sort((a, b) => b[1].length - a[1].length);
  print(
    "refused, by reason",
    reasons.map(([reason, files]) => `${files.length} x ${reason}  (${files.slice(0, 3).join(", ")})`),
    80,
  );
  print("texts that are invalid", all("invalid"));
  print("texts that a format's judge finds invalid", all("misformatted"));
  print("instances accepted that are invalid", all("passed"));
  print("schemas that the judge does not compile", all("unjudged"), 10);
  const times = results.flatMap((one) => (one.ms === undefined ? [] : [one.ms])).sort((a, b) => a - b);
  const at = (share) => Math.round(times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0);
  console.log(
    `\n${results.length} schemas, ${accepted.length} accepted (${((100 * accepted.length) / results.length).toFixed(1)} %); ` +
      `${sum("warned")} with a warning; ms to compile or refuse: median ${at(0.5)}, p90 ${at(0.9)}, p99 ${at(0.99)}, most ${at(1)}`,
  );
  console.log(
    `${sum("written")} texts written and judged, ${all("invalid").length} invalid, ${sum("unended")} without an end; ` +
      `${sum("refusals")} invalid instances refused, ${all("passed").length} accepted; ` +
      `${sum("valid")} valid instances, ${sum("validAccepted")} accepted`,
  );
  return all("invalid").length + all("misformatted").length + all("passed").length > 0;
}

/** A reason without what is different from schema to schema. */
function plain(reason) {
  return reason
    .replace(/at #\S*/g, "at #")
    .replace(/"(?:[^"\\]|\\.)*"?…?/g, '"…"')
    .replace(/\d+/g, "N")
    .slice(0, 160);
}

async function work({ folder, judges, texts, changes }) {
  const { createGrammars } = await import("../../dist/src/grammar/grammars.js");
  const { accepts, randomFrom, randomText } = await import("../../dist/test/grammar/support.js");
  const { openTokenizer } = await import("../../dist/src/tokenizer/tokenizer.js");
  const { memoryFiles } = await import("../../dist/test/weights/memory_files.js");
  const read = (name) => readFileSync(new URL(`../../models/tales/${name}`, import.meta.url), "utf8");
  const names = ["tokenizer.json", "tokenizer_config.json"];
  const tokenizer = await openTokenizer(memoryFiles(Object.fromEntries(names.map((name) => [name, read(name)]))));
  const grammars = createGrammars(tokenizer, tokenizer.vocabSize, tokenizer.eosIds);
  const judgeOf = await judgesFrom(judges);

  async function examine(file) {
    const content = JSON.parse(readFileSync(join(folder, file), "utf8"));
    const whole =
      typeof content === "object" && content !== null && "schema" in content && Array.isArray(content.tests);
    const schema = whole ? content.schema : content;
    const tests = whole ? content.tests : [];
    const started = performance.now();
    let grammar;
    try {
      grammar = await grammars.jsonSchema(schema);
    } catch (error) {
      return {
        refused: error.name === "RequestError" ? error.message : `${error.stack}`,
        ms: performance.now() - started,
      };
    }
    const out = {
      ms: performance.now() - started,
      warned: grammar.warnings?.length > 0 ? 1 : 0,
      written: 0,
      unended: 0,
    };
    Object.assign(out, {
      refusals: 0,
      valid: 0,
      validAccepted: 0,
      invalid: [],
      misformatted: [],
      passed: [],
      unjudged: [],
    });
    if (texts === 0) return out;
    let judge;
    try {
      judge = judgeOf(schema);
    } catch (error) {
      out.unjudged.push(String(error.message).slice(0, 200));
      return out;
    }
    const random = randomFrom(file.length * 7919 + content.length);
    const words = [...new Set(JSON.stringify(schema).match(/\w+/g) ?? [])].slice(0, 500);
    const instances = tests.filter(({ data }) => JSON.stringify(data).length < 6000).slice(0, 12);
    const good = [];
    const passes = async (data, about) => {
      if (await accepts(grammar, JSON.stringify(data), tokenizer))
        out.passed.push(`${about}: ${JSON.stringify(data).slice(0, 300)}`);
      else out.refusals++;
    };
    for (let i = 0; i < texts; i++) {
      const text = await randomText(grammar, tokenizer, random, words);
      if (text === null) {
        out.unended++;
        continue;
      }
      out.written++;
      const value = JSON.parse(text);
      if (!judge.validate(value))
        out.invalid.push(`${text.slice(0, 300)} ${JSON.stringify(judge.validate.errors?.slice(0, 2)).slice(0, 400)}`);
      else if (judge.formats !== null && !judge.formats(value))
        out.misformatted.push(
          `${text.slice(0, 300)} ${JSON.stringify(judge.formats.errors?.slice(0, 2)).slice(0, 400)}`,
        );
      good.push(value);
    }
    for (const { data } of instances) {
      if (judge.validate(data)) {
        out.valid++;
        if (await accepts(grammar, JSON.stringify(data), tokenizer)) out.validAccepted++;
        good.push(data);
      } else await passes(data, "instance");
    }
    for (let i = 0; i < changes && good.length > 0; i++) {
      const changed = change(good[i % good.length], random, words);
      if (JSON.stringify(changed).length < 3000 && !judge.validate(changed)) await passes(changed, "changed");
    }
    return out;
  }

  parentPort.on("message", async (file) => {
    try {
      parentPort.postMessage(await examine(file));
    } catch (error) {
      parentPort.postMessage({ refused: `FAULT ${error.stack}` });
    }
  });
}

/**
 * Validators by the draft that a schema names: without formats, and with them where their
 * judge is there.
 */
async function judgesFrom(folder) {
  const { Ajv } = await import("ajv");
  const { Ajv2019 } = await import("ajv/dist/2019.js");
  const { Ajv2020 } = await import("ajv/dist/2020.js");
  const require = createRequire(import.meta.url);
  const beside = folder === "" ? null : createRequire(join(folder, "node_modules", "x.js"));
  const Ajv4 = beside ? beside("ajv-draft-04").default : null;
  const addFormats = beside ? beside("ajv-formats").default : null;
  const draft6 = require("ajv/lib/refs/json-schema-draft-06.json");
  return (schema) => {
    const dialect = String(schema?.$schema ?? "2020-12");
    const four = /draft-0[34]/.test(dialect);
    if (four && Ajv4 === null) throw new Error("draft 4: no judge");
    const Validator = four ? Ajv4 : /draft-0[67]/.test(dialect) ? Ajv : /2019-09/.test(dialect) ? Ajv2019 : Ajv2020;
    const make = (validateFormats) => {
      const ajv = new Validator({
        strict: false,
        validateFormats,
        logger: false,
        multipleOfPrecision: 9,
        validateSchema: false,
      });
      if (Validator === Ajv) ajv.addMetaSchema(draft6);
      if (validateFormats) addFormats(ajv);
      return ajv.compile(schema);
    };
    return { validate: make(false), formats: addFormats === null ? null : make(true) };
  };
}

/** A value with one thing in it changed. */
function change(value, random, words) {
  const copy = structuredClone(value);
  const places = [];
  const visit = (holder, key) => {
    places.push([holder, key]);
    const inner = holder[key];
    if (typeof inner === "object" && inner !== null) for (const k of Object.keys(inner)) visit(inner, k);
  };
  const root = { it: copy };
  visit(root, "it");
  const pick = (list) => list[Math.floor(random() * list.length)];
  const [holder, key] = pick(places);
  const old = holder[key];
  const others = [
    null,
    true,
    0,
    -1,
    1.5,
    1e6,
    "",
    "x",
    "a b",
    pick(words) ?? "w",
    [],
    {},
    [1, 1],
    { a: 1 },
    -0.001,
    123456789,
  ];
  const roll = random();
  if (typeof old === "object" && old !== null && roll < 0.6) {
    const keys = Object.keys(old);
    if (Array.isArray(old)) {
      if (roll < 0.2 && old.length > 0) old.push(structuredClone(pick(old)));
      else if (roll < 0.4) old.splice(Math.floor(random() * old.length), 1);
      else old.push(pick(others));
    } else if (roll < 0.35 && keys.length > 0) delete old[pick(keys)];
    else if (roll < 0.5) old[pick(words) ?? "w"] = pick(others);
    else old[`${pick(keys) ?? ""}x`] = pick(others);
  } else if (typeof old === "string" && roll < 0.6)
    holder[key] = roll < 0.3 ? old.slice(0, -1) : `${old}${pick(["x", " ", "1", old])}`;
  else if (typeof old === "number" && roll < 0.6) holder[key] = pick([old + 1, old - 1, -old, old * 1000, old + 0.5]);
  else if (Array.isArray(holder) && roll < 0.7) holder.splice(Number(key), 1);
  else holder[key] = pick(others);
  return root.it;
}
