#!/usr/bin/env node
// Where the `hotset` command begins: it heeds SIGTERM before it reads the rest of itself, which takes a moment.

import { heedTermination } from "./interrupt.ts";

heedTermination();
await import("./program.ts");
