// `node dist/bench/gpu/llama.js`: llama.cpp's Vulkan backend on a synthetic model, timed as bench/gpu/profile.ts times ours.

import { llamaCommand } from "./llama_command.ts";

// This file runs as dist/bench/gpu/llama.js. llama.cpp's own threads would keep the process.
process.exit(await llamaCommand(new URL("../../../", import.meta.url), process.argv.slice(2)));
