// `node dist/bench/residency/child.js <task as JSON>`: one measurement of a residency benchmark, in
// a process of its own.

import { decode } from "./decode.ts";
import { replay } from "./replay.ts";
import type { DecodeTask, ReplayTask } from "./types.ts";

const task = JSON.parse(process.argv[2] ?? "") as DecodeTask | ReplayTask;
const report = await (task.way === "replay" ? replay(task) : decode(task));
console.log(JSON.stringify(report));
