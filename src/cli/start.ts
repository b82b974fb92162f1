// Starts the `hotset` command. It handles SIGTERM before it loads the rest, which takes a moment.

import { handleSigterm } from "./interrupt.ts";

handleSigterm();
await import("./program.ts");
