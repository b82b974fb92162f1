// `node dist/bench/gpu/llama.js`: llama.cpp's Vulkan backend on a synthetic model, timed as
// bench/gpu/profile.ts times hotset.

import { llamaCommand } from "./llama_command.ts";

// This file runs as dist/bench/gpu/llama.js. llama.cpp's threads would keep the process alive.
process.exit(await llamaCommand(new URL("../../../", import.meta.url), process.argv.slice(2)));
