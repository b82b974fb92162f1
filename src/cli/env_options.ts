// A command whose options may come from the environment, for containers and service managers:
// HOTSET_PORT is --port.

import { Command, type Option } from "commander";

/**
 * Variables that must not be empty, because that would disable the key check. Other empty variables
 * count as unset.
 */
const NEVER_EMPTY: ReadonlySet<string> = new Set(["HOTSET_API_KEY", "HOTSET_API_KEY_FILE"]);

/** Options on the command line take precedence. */
export class EnvCommand extends Command {
  override addOption(option: Option): this {
    const name = `HOTSET_${option.name().replaceAll("-", "_").toUpperCase()}`;
    const value = process.env[name];
    const unset = value?.trim() === "" && !NEVER_EMPTY.has(name);
    // Kubernetes sets this variable to an address in pods beside a service named "hotset".
    const address = name === "HOTSET_PORT" && value !== undefined && /^[a-z]+:\/\//.test(value);
    return super.addOption(unset || address ? option : option.env(name));
  }
}
