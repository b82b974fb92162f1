// `node dist/bench/gpu/profile.js`: the same as `npm run bench -- --profile`, and nothing that a bare machine lacks.

import { profileCommand } from "../profile_command.ts";

// This file runs as dist/bench/gpu/profile.js.
process.exit(await profileCommand(new URL("../../../", import.meta.url), process.argv.slice(2)));
