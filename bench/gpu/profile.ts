// `node dist/bench/gpu/profile.js`: `npm run bench -- --profile` with nothing that a
// bare machine lacks.

import { profileCommand } from "../profile_command.ts";

// This file runs as dist/bench/gpu/profile.js.
process.exit(await profileCommand(new URL("../../../", import.meta.url), process.argv.slice(2)));
