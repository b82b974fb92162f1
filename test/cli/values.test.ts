import { describe, expect, it } from "vitest";
import { integer, number, seconds, size } from "../../src/cli/values.ts";

describe("size", () => {
  it.each([
    ["1", 1],
    ["1048576", 1_048_576],
    ["6GiB", 6 * 2 ** 30],
    ["512MB", 512e6],
    ["1.5 gib", 1.5 * 2 ** 30],
    ["2TiB", 2 ** 41],
    ["3kb", 3000],
    ["7 B", 7],
  ])("%s is %d bytes", (text, bytes) => expect(size(text)).toBe(bytes));

  it.each(["", "0", "-1", "6XB", "GiB", "1e9", "NaN", "1,5GB", "0.5", "99999999TiB", "1 2"])("%j is refused", (text) =>
    expect(() => size(text)).toThrow(/Expected a size/),
  );
});

describe("seconds", () => {
  it.each([
    ["0", 0],
    ["30", 30],
    ["0.5", 0.5],
    ["30s", 30],
    ["500ms", 0.5],
    ["1.5 m", 90],
    ["1H", 3600],
  ])("%s is %d seconds", (text, value) => expect(seconds(0, 86_400)(text)).toBe(value));

  it.each(["", "s", "-1", "1d", "1e3", "25h", "1 2", "10mm"])("%j is refused", (text) =>
    expect(() => seconds(0, 86_400)(text)).toThrow(/Expected a time from 0 to 86400 seconds, such as "30s"/),
  );
});

describe("integer", () => {
  it.each([
    ["1", 1],
    ["007", 7],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ])("%s", (text, value) => expect(integer(1)(text)).toBe(value));

  it.each(["", "0", "-1", "1.5", "1e3", "x", "0x10", "9007199254740993", "Infinity", " 1"])("%j is refused", (text) =>
    expect(() => integer(1)(text)).toThrow("Expected an integer of at least 1."),
  );
});

describe("number", () => {
  it.each([
    ["0", 0],
    ["0.8", 0.8],
    ["1e-3", 0.001],
    ["1", 1],
  ])("%s", (text, value) => expect(number(0, 1)(text)).toBe(value));

  it.each(["", " ", "-0.1", "1.1", "NaN", "Infinity", "x", "0,5"])("%j is refused", (text) =>
    expect(() => number(0, 1)(text)).toThrow("Expected a number from 0 to 1."),
  );
});
