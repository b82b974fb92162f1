import { describe, expect, it } from "vitest";
import { hotset } from "../support/cli.ts";
import { some } from "../support/some.ts";

describe("wrong usage: exit code 2, one line", () => {
  it.each(
    some<[string[], RegExp]>(
      [
        [["generate"], /missing required argument 'folder'/],
        [["generate", "x", "y", "-p", "a"], /too many arguments/],
        [["frobnicate"], /unknown command 'frobnicate'/],
        [["generate", "x", "--temperatur", "0"], /unknown option '--temperatur' \(Did you mean --temperature\?\)/],
        [["generate", "x", "-n", "0"], /'-n, --max-tokens <count>' argument '0' is invalid. Expected an integer/],
        [["generate", "x", "-n"], /argument missing/],
        [["generate", "x", "--temperature", "-1"], /Expected a number from 0/],
        [["generate", "x", "--temperature", "1e308"], /Expected a number from 0 to 1000000/],
        [["generate", "x", "--repeat-penalty", "0"], /Expected a number from 0.000001 to 1000000/],
        [["tokenize", "x", "a text", "--decode", "4"], /--decode takes ids only/],
        [["generate", "x", "--top-k", "1.5"], /Expected an integer/],
        [["generate", "x", "--top-p", "1.5"], /Expected a number from 0 to 1/],
        [["generate", "x", "--min-p", "x"], /Expected a number from 0 to 1/],
        [["generate", "x", "--seed", "-2"], /Expected an integer/],
        [["generate", "x", "-n", "-2"], /Expected an integer/],
        [["generate", "x", "--backend", "cuda"], /Allowed choices are auto, webgpu, cpu/],
        [["generate", "x", "--weights", "q5"], /Allowed choices are auto, f32, f16, bf16, q8, q6_k, q5_k, .* q2_k\./],
        [["generate", "x", "--kv", "q4"], /Allowed choices are f32, f16, q8\./],
        [["generate", "x", "--gpu-memory", "6XB"], /Expected a size in bytes/],
        [["generate", "x", "--ram", "-1"], /Expected a size in bytes/],
        [["generate", "x", "--context", "0"], /Expected an integer/],
        [["generate", "x", "--rope-scaling", "ntk"], /Allowed choices are none, linear, yarn/],
        [["generate", "x", "--rope-scale", "0.5"], /Expected a number of at least 1/],
        [["serve", "x", "--rope-theta", "1e6", "--rope-freq-base", "1e6"], /cannot be used with option '--rope-theta/],
        [["generate", "x", "--logprobs", "21", "--json"], /Expected an integer from 0 to 20/],
        [["generate", "x", "--logprobs", "2", "-p", "a"], /--logprobs needs --json/],
        [["bench"], /missing required argument 'model'/],
        [["bench", "x", "--repeats", "0"], /Expected an integer/],
      ],
      8,
    ),
  )("hotset %j", async (args, message) => {
    const { code, stdout, stderr } = await hotset(args);
    expect(stderr).toMatch(message);
    expect(stderr).toMatch(/^hotset: [^\n]+\n$/);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  });

  it("no command at all prints the help on stderr", async () => {
    const { code, stdout, stderr } = await hotset([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/Usage: hotset/);
  });
});

describe("asked for", () => {
  it.each([
    [["--help"], /Usage: hotset[\s\S]+generate[\s\S]+bench/],
    [["generate", "--help"], /--temperature/],
    [["--version"], /^\d+\.\d+\.\d+\n$/],
  ])("hotset %j", async (args, text) => {
    const { code, stdout, stderr } = await hotset(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(text);
  });
});
