// Reads Intel machine code as Mesa's ANV prints it: its loops, and what an iteration does.

import { type Work, type Works, worksOf } from "./work.ts";

interface Instruction {
  readonly name: string;
  /** Lanes that it computes. */
  readonly lanes: number;
  /** The whole instruction, in one line. */
  readonly text: string;
}

/** Bytes of a register. */
const REGISTER = 32;

/** Reads an assembly of subgroups of so many lanes. */
export function intelWorks(assembly: string, subgroup: number): Works {
  const { instructions, labels } = read(assembly);
  const jumps = instructions.flatMap(({ name, text }, from) => {
    const to = name === "while" ? labels.get(/LABEL\d+/.exec(text)?.[0] ?? "") : undefined;
    return to === undefined ? [] : [{ from, to }];
  });
  return worksOf(instructions, jumps, (code, times) => count(code, subgroup, times));
}

function read(assembly: string) {
  const instructions: Instruction[] = [];
  const labels = new Map<string, number>();
  // What goes on in a second line is indented.
  for (const text of assembly.replace(/\n\s{8,}/g, " ").split("\n")) {
    const label = /^(LABEL\d+):/.exec(text)?.[1];
    if (label !== undefined) labels.set(label, instructions.length);
    const [, name, lanes] = /^(?:\([^)]*\)\s*)?([a-z]\w*)[\w.]*(?: \w+)?\((\d+)\)/.exec(text) ?? [];
    if (name !== undefined && label === undefined) instructions.push({ name, lanes: Number(lanes), text });
  }
  return { instructions, labels };
}

interface Message {
  readonly kind: "load" | "store" | "spill";
  /** In workgroup memory. */
  readonly shared: boolean;
  /** Of values that all lanes share. */
  readonly uniform: boolean;
  /** Of a load, for the whole subgroup. */
  readonly bytes: number;
}

/** What a message to the memory asks for; null for all others. */
function messageOf({ name, text }: Instruction): Message | null {
  if (!name.startsWith("send")) return null;
  const uniform = /WE_all|transpose/.test(text);
  if (/OWORD block (read|write), bti 253| ss \)/.test(text)) return { kind: "spill", shared: false, uniform, bytes: 0 };
  // Up to Gen 12.0, and since.
  const old = /MsgDesc: \(.*\b(read|write), Surface = (\d+).* rlen (\d+)/.exec(text);
  if (old) {
    const [, kind, surface, registers] = old;
    return {
      kind: kind === "read" ? "load" : "store",
      shared: surface === "254",
      uniform,
      bytes: REGISTER * Number(registers),
    };
  }
  const [, unit, kind, registers] = /(ugm|slm) MsgDesc: \( (load|store)\w*, .*dst_len = (\d+)/.exec(text) ?? [];
  if (kind !== "load" && kind !== "store") return null;
  return { kind, shared: unit === "slm", uniform, bytes: REGISTER * Number(registers) };
}

/** Multiply-adds a lane. */
const PRODUCTS: Readonly<Record<string, number>> = { mad: 1, mac: 1, dp4a: 4 };

function count(code: readonly Instruction[], subgroup: number, times: number): Work {
  const messages = code.flatMap((one) => messageOf(one) ?? []);
  const those = (kind: Message["kind"], shared: boolean, uniform?: boolean): Message[] =>
    messages.filter((m) => m.kind === kind && m.shared === shared && (uniform ?? m.uniform) === m.uniform);
  const loads = those("load", false, false);
  const of = (pattern: RegExp): number => code.filter(({ name }) => pattern.test(name)).length;
  const control = /^(send\w*|sync|wait|while|break|cont\w*|if|else|endif|jmpi|halt|nop)$/;
  return {
    instructions: code.length,
    valu: code.filter(({ name }) => !control.test(name)).length,
    salu: 0, // one lane's instructions are the others'
    multiplyAdds: code.reduce((sum, { name, lanes }) => sum + ((PRODUCTS[name] ?? 0) * lanes) / subgroup, 0),
    loads: loads.length,
    loadBytes: loads.reduce((sum, { bytes }) => sum + bytes, 0) / subgroup,
    inFlight: mostInFlight(code, times) / subgroup,
    scalarLoads: those("load", false, true).length,
    stores: those("store", false).length,
    spills: those("spill", false).length,
    ldsReads: those("load", true).length,
    ldsWrites: those("store", true).length,
    waits: of(/^(sync|wait)$/),
    barriers: code.filter(({ text }) => text.includes("(barrier msg)")).length,
    branches: of(/^(while|break|cont\w*|if|else|endif|jmpi)$/),
  };
}

/**
 * The most bytes of loads that are on their way at once, in code that runs `times` times in turn.
 * A load has a token, `$3`, and what needs its result waits for it, `$3.dst`.
 */
function mostInFlight(code: readonly Instruction[], times: number): number {
  const onTheWay = new Map<string, number>();
  let most = 0;
  for (let i = 0; i < times; i++)
    for (const one of code) {
      for (const [, token] of one.text.matchAll(/(\$\d+)\.dst/g)) onTheWay.delete(token!);
      const message = messageOf(one);
      const token = /(\$\d+)(?![\d.])/.exec(one.text)?.[1];
      if (message?.kind !== "load" || message.shared || message.uniform || token === undefined) continue;
      onTheWay.set(token, message.bytes);
      most = Math.max(
        most,
        [...onTheWay.values()].reduce((sum, bytes) => sum + bytes, 0),
      );
    }
  return most;
}
