// `node dist/bench/gpu/llama.js`: llama.cpp's Vulkan backend on a synthetic model, timed as bench/gpu/profile.ts times ours.

import { llamaCommand } from "./llama_command.ts";

// A signal would end the process without the removal of a file half written, gigabytes that nobody would find.
process.on("SIGTERM", () => process.exit(143));
// This file runs as dist/bench/gpu/llama.js. llama.cpp's own threads would keep the process.
process.exit(await llamaCommand(new URL("../../../", import.meta.url), process.argv.slice(2)));
