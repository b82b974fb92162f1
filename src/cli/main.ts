#!/usr/bin/env node
// The entry of the `hotset` command. It handles SIGTERM before it loads the rest, which
// takes a moment.

import module from "node:module";
import { handleSigterm } from "./interrupt.ts";

handleSigterm();
// From Node 22 on, code is compiled once and kept on disk.
(module as { enableCompileCache?: () => unknown }).enableCompileCache?.();
await import("./program.ts");
