// POST /v1/completions: continues prompts as they are, with echo and log probabilities as
// evaluation harnesses expect them.

import type { Context } from "hono";
import type { ChatEvent, ChatFinish, ChatOptions } from "../engine/chat_api.ts";
import { type Answer, AnswerCollector } from "./answer.ts";
import { type Fields, fieldsOf, type Json, required, wrong } from "./fields.ts";
import { readJson } from "./json.ts";
import { legacyLogprobs } from "./legacy_logprobs.ts";
import { type Indexed, together } from "./many.ts";
import { checkModel, MOST_CHOICES, streamOf } from "./openai_request.ts";
import { newId, now, streamFailure, type UsageWanted, usageOf, usageWanted } from "./openai_shapes.ts";
import { refuseUnsupported } from "./request_fields.ts";
import { formatOf, namingField } from "./response_formats.ts";
import { defined, idsOf, maxTokensOf, samplingOf, seedOf } from "./sampling.ts";
import type { Service } from "./service.ts";
import { event, streamed } from "./sse.ts";
import { nameIn } from "./wanted.ts";

/** Most answers: prompts times answers to each. */
const MOST_ANSWERS = 2048;
/** The default of the legacy API. Chat completions go on to the end of the context. */
const DEFAULT_TOKENS = 16;
const MOST_TOP_LOGPROBS = 20;

type Prompt = string | readonly number[];

interface CompletionRequest {
  readonly prompts: readonly Prompt[];
  readonly n: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  readonly logprobs: number | undefined;
  readonly options: ChatOptions & { readonly echo?: boolean };
}

export async function completions(c: Context, service: Service): Promise<Response> {
  const json = await readJson(c.req.raw, service.bodyLimit);
  const request = completionRequest(json);
  const work = await service.begin(c.req.raw, { name: nameIn(c, json), stream: request.stream });
  const head = { id: newId("cmpl-"), object: "text_completion", created: now(), model: work.name };
  const starts = request.prompts.flatMap((prompt) =>
    Array.from({ length: request.n }, (_, i) => () => {
      const options = { ...request.options, ...seedOf(request.options.seed, i), signal: work.signal };
      return namingField(options.responseFormat, work.model.complete(prompt, options));
    }),
  );
  const events = together(starts, service.answersAtOnce);
  if (request.stream) {
    const { keepAliveMs, log } = service;
    const failed = streamFailure(c, head);
    const usage = usageWanted(c, request);
    return streamed(chunks(events, head, { ...request, usage }), { keepAliveMs, log, failed, done: work.end });
  }
  try {
    const collectors = Array.from(starts, () => new AnswerCollector());
    for await (const { index, event } of events) collectors[index]!.take(event);
    const answers = collectors.map(({ answer }) => answer);
    const usage = usageOf(
      answers.map(({ finish }) => finish),
      request.n,
    );
    return c.json({ ...head, choices: answers.map((answer, index) => choice(answer, index, request)), usage });
  } finally {
    work.end();
  }
}

function completionRequest(json: Json): CompletionRequest {
  const body = fieldsOf(json);
  refuseUnsupported(body, "completions");
  checkModel(body);
  const n = body.integer("n", 1, MOST_CHOICES) ?? 1;
  const prompts = promptsOf(body);
  if (prompts.length * n > MOST_ANSWERS) {
    throw wrong("prompt", `expected at most ${MOST_ANSWERS} answers (prompts times n)`, prompts.length * n);
  }
  const logprobs = body.integer("logprobs", 0, MOST_TOP_LOGPROBS);
  const options = {
    ...samplingOf(body),
    ...defined({
      maxTokens: maxTokensOf(body, ["max_tokens", "max_completion_tokens", "n_predict"], 0, DEFAULT_TOKENS),
      logprobs,
      echo: body.boolean("echo"),
      responseFormat: formatOf(body),
    }),
  };
  return { prompts, n, ...streamOf(body), logprobs, options };
}

/** The prompts: a text, a list of texts, token ids, or a list of lists of token ids. */
function promptsOf(body: Fields): readonly Prompt[] {
  const prompt = required(body.raw("prompt"), body, "prompt");
  const expected = "expected a text, token ids, or a list of either";
  if (typeof prompt === "string") return [prompt];
  if (!Array.isArray(prompt) || prompt.length === 0) throw wrong("prompt", expected, prompt);
  if (typeof prompt[0] === "number") return [idsOf(prompt, "prompt")];
  return prompt.map((one: unknown, i) => {
    if (typeof one === "string") return one;
    if (Array.isArray(one)) return idsOf(one, `prompt[${i}]`);
    throw wrong(`prompt[${i}]`, expected, one);
  });
}

function choice({ text, logprobs, finish }: Answer, index: number, request: CompletionRequest): object {
  return {
    index,
    text,
    logprobs: request.logprobs === undefined ? null : legacyLogprobs(logprobs),
    finish_reason: finish.reason,
    seed: finish.seed,
  };
}

async function* chunks(
  events: AsyncIterable<Indexed<ChatEvent>>,
  head: object,
  request: CompletionRequest & { readonly usage: UsageWanted },
): AsyncGenerator<string> {
  const finished: ChatFinish[] = [];
  let left = request.prompts.length * request.n;
  const chunk = (fields: object): string => event(JSON.stringify({ ...head, ...fields }));
  for await (const { index, event } of events) {
    if (event.type === "finish") {
      finished[index] = event;
      const last = --left === 0 && request.usage === "with the last chunk";
      const usage = last ? { usage: usageOf(finished, request.n) } : {};
      const end = { index, text: "", logprobs: null, finish_reason: event.reason, seed: event.seed };
      yield chunk({ choices: [end], ...usage });
    } else if (event.type === "text" && (event.text !== "" || event.logprobs?.length)) {
      const logprobs = request.logprobs === undefined ? null : legacyLogprobs(event.logprobs ?? []);
      yield chunk({ choices: [{ index, text: event.text, logprobs, finish_reason: null }] });
    }
  }
  if (request.usage === "in a chunk of its own") yield chunk({ choices: [], usage: usageOf(finished, request.n) });
  yield event("[DONE]");
}
