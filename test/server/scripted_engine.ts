// A ChatModel over the engine's own sessions, stepper and KV blocks, in which only the arithmetic
// is missing: the model writes the ids that a test gives it.

import { openChat } from "../../src/chat/conventions.ts";
import type { ChatModel } from "../../src/engine/chat_api.ts";
import { createChatModel } from "../../src/engine/chat_model.ts";
import { createBlockPool } from "../../src/engine/kv.ts";
import type { Model } from "../../src/engine/model_api.ts";
import { createQueue } from "../../src/engine/queue.ts";
import { createRoom } from "../../src/engine/room.ts";
import { createSession } from "../../src/engine/session.ts";
import { createStepper } from "../../src/engine/stepper.ts";
import { textCodec } from "../../src/engine/text.ts";
import { createGrammars } from "../../src/grammar/grammars.ts";
import type { Tokenizer } from "../../src/tokenizer/types.ts";
import { type Contents, tokenizerOf } from "../tokenizer/support.ts";
import { memoryFiles } from "../weights/memory_files.ts";

export const BLOCK = 32;
const CONTEXT = 2 ** 15;
const STEP = 512;

export interface ScriptedEngine {
  readonly chat: ChatModel;
  readonly tokenizer: Tokenizer;
  /** What the next answers are, each with the token that ends it. */
  write(...answers: readonly (readonly number[])[]): void;
  /** Ids of the prompts so far. */
  readonly prompts: readonly number[][];
}

/**
 * @param template null: Mistral's rules
 * @param states slots of states, as models with recurrent layers have them
 */
export async function scriptedEngine(
  files: Readonly<Record<string, unknown>>,
  template: string | null,
  states?: number,
): Promise<ScriptedEngine> {
  const tokenizer = await tokenizerOf(files);
  const contents: Contents = template === null ? {} : { "chat_template.jinja": template };
  const conventions = await openChat(memoryFiles(contents), tokenizer);
  const vocab = tokenizer.vocabSize;
  const answers: number[][] = [];
  const prompts: number[][] = [];
  const held = {
    ...{ slots: states ?? 0, slotBytes: 4, reserve: async () => {}, copy() {} },
    ...{ read: async () => new Uint8Array(4), write: async () => {}, close() {} },
  };
  let blocks = 0;
  const pool = createBlockPool(
    {
      ...(states !== undefined && { states: held }),
      ...{ blockSize: BLOCK, precision: "f32", blockBytes: 1, close() {} },
      get blocks() {
        return blocks;
      },
      async reserve(count) {
        blocks = Math.max(blocks, count);
      },
      readBlock: async () => new Uint8Array(1),
      async writeBlock() {},
    },
    2 ** 20,
    STEP,
  );
  const room = createRoom(pool);
  const logits = async ({ outputs }: { readonly outputs: Uint32Array }): Promise<Float32Array> => {
    const rows = new Float32Array(outputs.length * vocab);
    for (const row of outputs.keys()) rows[row * vocab + answers[0]!.shift()!] = 1;
    if (outputs.length > 0 && answers[0]!.length === 0) answers.shift();
    return rows;
  };
  const stepper = createStepper({ logits }, room, STEP, vocab);
  const model = {
    tokenizer,
    architecture: { vocab },
    grammars: createGrammars(tokenizer, vocab, new Set(conventions.stopIds)),
    stats: () => ({ context: CONTEXT }),
    session() {
      const session = createSession({
        ...{ stepper, room, text: textCodec(tokenizer, "a test"), vocab, context: CONTEXT },
        ...{ eos: new Set(conventions.stopIds), sampling: { temperature: 0 }, onClose() {} },
        save: async () => new Uint8Array(0),
      });
      return {
        ...session,
        generate(prompt: readonly number[], options: object) {
          prompts.push([...prompt]);
          return session.generate(prompt, options);
        },
      };
    },
  } as unknown as Model;
  return {
    chat: createChatModel({ name: "scripted", model, conventions, queue: createQueue({ parallel: 4, queue: 4 }) }),
    tokenizer,
    write: (...all) => answers.push(...all.map((ids) => [...ids])),
    prompts,
  };
}

/**
 * The tokens of an answer with its marks, other ones than its text encodes to: as a model may
 * choose them, every second piece of several characters is spelled by pieces of one.
 */
export function sampledIds(tokenizer: Tokenizer, text: string): number[] {
  return tokenizer.encode(text, { addBos: false, specialTokens: true }).flatMap((id, i) => {
    const piece = tokenizer.idToPiece(id)!;
    if (i % 2 === 0 || tokenizer.isSpecial(id) || /^<.*>$/.test(piece)) return [id];
    const letters = [...piece].map((letter) => tokenizer.pieceToId(letter));
    return letters.includes(null) ? [id] : (letters as number[]);
  });
}
