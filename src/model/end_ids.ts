// The ids in config.json and generation_config.json that end a text.

import { WeightsError } from "../errors.ts";

const FIELDS = ["eos_token_id", "eot_token_id", "eom_token_id"] as const;

/**
 * All ids in a configuration that end a text, a turn or a message, at the top or
 * in its `text_config`.
 * @param where names the file in messages
 * @throws WeightsError as endIds() does
 */
export function endsInConfig(json: unknown, where: string): readonly number[] {
  const fields = asObject(json);
  const inner = asObject(fields.text_config);
  return [
    ...FIELDS.flatMap((name) => endIds(fields[name], `${where}: ${name}`)),
    ...FIELDS.flatMap((name) => endIds(inner[name], `${where}: text_config.${name}`)),
  ];
}

/**
 * A token id, a list of them, or none: null, and -1, which some tools write.
 * @throws WeightsError for anything else
 */
export function endIds(value: unknown, where: string): readonly number[] {
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  const bad = ids.find((id) => id !== undefined && id !== null && !Number.isInteger(id));
  if (bad !== undefined) {
    const found = String(JSON.stringify(bad)).slice(0, 80);
    throw new WeightsError(`${where}: expected a token id or a list of them, found ${found}`);
  }
  return ids.filter((id): id is number => typeof id === "number" && id >= 0);
}

function asObject(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : {};
}
