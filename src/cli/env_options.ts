// A command whose options may come from the environment, as containers and service managers give them: HOTSET_PORT is --port.

import { Command, type Option } from "commander";

/** Variables whose emptiness is a mistake that would open a door; other empty variables are as if they were not set. */
const NEVER_EMPTY: ReadonlySet<string> = new Set(["HOTSET_API_KEY", "HOTSET_API_KEY_FILE"]);

/** What is on the command line counts more. */
export class EnvCommand extends Command {
  override addOption(option: Option): this {
    const name = `HOTSET_${option.name().replaceAll("-", "_").toUpperCase()}`;
    const value = process.env[name];
    const unset = value?.trim() === "" && !NEVER_EMPTY.has(name);
    // Kubernetes tells pods beside a service named "hotset" its address under this name.
    const address = name === "HOTSET_PORT" && value !== undefined && /^[a-z]+:\/\//.test(value);
    return super.addOption(unset || address ? option : option.env(name));
  }
}
