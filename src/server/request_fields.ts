// The table of request fields, from all APIs. The server rejects fields by this table; the README
// of this folder has a copy, and a test checks both. Unknown fields are accepted.

import { type Fields, isObject, wrong } from "./fields.ts";

export type Endpoint = "chat" | "completions" | "messages" | "responses" | "embeddings";

/** Fields that are treated alike. */
export interface FieldRow {
  readonly names: readonly string[];
  readonly on: readonly Endpoint[];
  readonly kind: "honoured" | "refused" | "harmless";
  /** What it does; for a refused one, what to use instead, or why it is not supported. */
  readonly note: string;
  /**
   * For a refused one: values that request nothing, besides null and, unless `onlyThese`, false and
   * empty values.
   */
  readonly off?: readonly unknown[];
  readonly onlyThese?: true;
  /** For a refused one: when every value requests nothing. */
  readonly unless?: (body: Fields) => boolean;
}

const GENERATE: readonly Endpoint[] = ["chat", "completions", "messages", "responses"];
const CONVERSATIONS: readonly Endpoint[] = ["chat", "messages", "responses"];
const ALL: readonly Endpoint[] = [...GENERATE, "embeddings"];

/** Fields read by reasoning_fields.ts. */
const REASONING =
  "reasoning reasoning_effort thinking think enable_thinking thinking_budget thinking_token_budget thinking_budget_tokens reasoning_budget";

function honoured(on: readonly Endpoint[], names: string, note: string): FieldRow {
  return { names: names.split(" "), on, kind: "honoured", note };
}

function refused(on: readonly Endpoint[], names: string, note: string, off: readonly unknown[] = []): FieldRow {
  return { names: names.split(" "), on, kind: "refused", note, off };
}

function harmless(on: readonly Endpoint[], names: string, note: string): FieldRow {
  return { names: names.split(" "), on, kind: "harmless", note };
}

/** Fields whose value true describes what the server does anyway. */
function onlyTrue(on: readonly Endpoint[], names: string, note: string): FieldRow {
  return { ...refused(on, names, note, [true]), onlyThese: true };
}

/** Penalties count the whole context: without penalties, their range makes no difference. */
function noPenalty(body: Fields): boolean {
  const off = { repetition_penalty: 1, repeat_penalty: 1, frequency_penalty: 0, presence_penalty: 0 };
  return Object.entries(off).every(([name, value]) => !body.has(name) || body.raw(name) === value);
}

/** Whether the conversation ends with a message of the assistant, which is then continued. */
function endsWithAssistant(body: Fields): boolean {
  const messages = body.raw("messages");
  const last: unknown = Array.isArray(messages) ? messages.at(-1) : undefined;
  return isObject(last) && last.role === "assistant";
}

/**
 * Whether all variables of the template are off: then it makes no difference that there
 * is no template.
 */
function nothingOn(body: Fields): boolean {
  const given = body.raw("chat_template_kwargs");
  return isObject(given) && Object.values(given).every((value) => value === null || value === false);
}

export const FIELDS: readonly FieldRow[] = [
  // The prompt.
  honoured(["chat", "messages"], "messages", "the conversation"),
  honoured(["responses"], "input", "a text, or the conversation as items"),
  honoured(["responses"], "instructions", "a system message in front"),
  honoured(["completions"], "prompt", "the text or token ids to continue"),
  honoured(["completions"], "echo", "the prompt comes first"),
  honoured(["messages"], "system", "a system message"),
  honoured(["embeddings"], "input", "texts or token ids"),
  honoured(["embeddings"], "encoding_format", "float or base64"),
  honoured(["chat"], "safe_prompt", "Mistral's system message in front of the conversation"),
  honoured(["chat", "responses"], "continue_final_message", "false: a last message of the assistant is not continued"),
  honoured(CONVERSATIONS, "chat_template_kwargs", "variables of the folder's chat template"),
  honoured(CONVERSATIONS, "tools tool_choice", "functions to call; in responses other kinds are passed over"),
  honoured(["chat", "responses"], "parallel_tool_calls", "whether an answer may hold several calls"),
  honoured(ALL, "key", "the API key, if no header has it"),
  honoured(CONVERSATIONS, REASONING, "whether and how much the model reasons, where it does"),
  honoured(["chat", "responses"], "include_reasoning", "false: the reasoning is not shown"),
  honoured(["responses"], "include", "reasoning.encrypted_content, message.output_text.logprobs"),
  // The answer.
  honoured(["chat", "completions", "messages"], "max_tokens", "-1: as many as fit the context"),
  honoured(["responses"], "max_output_tokens", "-1: as many as fit the context"),
  honoured(["chat", "completions"], "max_completion_tokens n_predict", "as max_tokens"),
  honoured(["chat", "completions"], "n", "answers to one prompt"),
  honoured(GENERATE, "stream", "server-sent events"),
  honoured(
    ["chat", "completions"],
    "stream_options usage",
    "include_usage, and OpenRouter's include: usage in the stream",
  ),
  honoured(["chat"], "logprobs top_logprobs", "log probabilities under the model's own distribution"),
  honoured(["responses"], "top_logprobs", "likeliest tokens at each place, with include"),
  honoured(["completions"], "logprobs", "how many likeliest tokens to give at each place"),
  honoured(["chat", "completions", "responses"], "stop", "texts that end the answer; empty ones do not"),
  honoured(["messages"], "stop_sequences", "texts that end the answer; empty ones do not"),
  honoured(GENERATE, "stop_strings stop_words", "more texts that end the answer"),
  honoured(GENERATE, "stop_token_ids eos_token_id", "tokens that end the answer and are not part of it"),
  honoured(GENERATE, "min_tokens", "the answer does not end before so many tokens"),
  honoured(GENERATE, "ignore_eos", "continues past the end of text"),
  honoured(GENERATE, "bad_words", "words that are not written, with or without a space in front"),
  honoured(GENERATE, "allowed_token_ids", "only these tokens are allowed"),
  honoured(GENERATE, "logit_bias", "by token id; llama.cpp's list of pairs too, where false forbids a token"),
  honoured(GENERATE, "temperature top_p top_k min_p", "top_k 0 and -1: all"),
  honoured(GENERATE, "repetition_penalty repeat_penalty frequency_penalty presence_penalty", "over the whole context"),
  honoured(GENERATE, "seed random_seed", "-1: any; 64 bits, of which 53 count"),
  honoured(
    GENERATE,
    "response_format",
    "text, json_object (with schema), json_schema, regex, ebnf, grammar (GBNF), structural_tag",
  ),
  honoured(GENERATE, "text", "its format, as in OpenAI's responses API; the same as response_format"),
  honoured(GENERATE, "output_config output_format", "its format: a JSON schema"),
  honoured(GENERATE, "json_schema guided_json", "a JSON schema, or its text"),
  honoured(GENERATE, "guided_json_object", "any JSON object"),
  honoured(GENERATE, "guided_regex regex", "a pattern"),
  honoured(GENERATE, "guided_choice", "one of these texts"),
  honoured(GENERATE, "guided_grammar ebnf", "a grammar in xgrammar's EBNF"),
  honoured(GENERATE, "grammar", "a grammar in llama.cpp's GBNF"),
  honoured(GENERATE, "structured_outputs", "vLLM's: json, json_object, regex, choice, grammar or structural_tag"),
  honoured(GENERATE, "structural_tag", "xgrammar's structural tag, or its text"),
  honoured(GENERATE, "format", 'Ollama\'s: "json" or a JSON schema'),

  // Other names of supported fields.
  refused(CONVERSATIONS, "functions", "use tools"),
  refused(CONVERSATIONS, "function_call", "use tool_choice"),
  refused(["completions"], "tools functions", "use /v1/chat/completions"),
  refused(["completions"], "tool_choice function_call", "use /v1/chat/completions", ["none", "auto"]),
  harmless(["completions"], "parallel_tool_calls", "there are no tools"),
  onlyTrue(["messages"], "parallel_tool_calls", "use disable_parallel_tool_use in tool_choice"),
  refused(["chat", "messages"], "prompt input contents", "use messages"),
  refused(["responses"], "messages contents", "use input"),
  refused(["responses"], "prompt", "there are no stored prompts: use instructions and input"),
  refused(["completions"], "messages input contents", "use prompt"),
  refused(["chat"], "system instructions systemInstruction system_instruction", "use a message of the role system"),
  refused(["completions"], "system instructions systemInstruction system_instruction", "put it into the prompt"),
  refused(["responses"], "system systemInstruction system_instruction", "use instructions"),
  refused(["messages"], "instructions systemInstruction system_instruction", "use system"),
  refused(["messages"], "safe_prompt", "put it into system"),
  refused(["responses"], "safe_prompt", "put it into instructions"),
  refused(["completions"], "safe_prompt", "put it into the prompt"),
  refused(
    GENERATE,
    "context previous_response_id conversation thread",
    "nothing is kept: send the whole conversation or prompt",
  ),
  refused(GENERATE, "prompt_embeds", "give texts or token ids"),
  refused(
    ["chat", "completions", "responses"],
    "stop_sequences stop_sequence stopSequences stopping_strings custom_stopping_strings",
    "use stop",
  ),
  refused(
    ["messages"],
    "stop stop_sequence stopSequences stopping_strings custom_stopping_strings",
    "use stop_sequences",
  ),
  refused(GENERATE, "end_id", "use stop_token_ids", [-1]),
  refused(["messages"], "max_completion_tokens n_predict", "use max_tokens"),
  refused(
    ["chat", "completions", "messages"],
    "max_new_tokens max_output_tokens maxOutputTokens max_length num_predict max_tokens_to_sample",
    "use max_tokens",
  ),
  refused(
    ["responses"],
    "max_tokens max_completion_tokens n_predict max_new_tokens maxOutputTokens max_length num_predict max_tokens_to_sample",
    "use max_output_tokens",
  ),
  refused(GENERATE, "min_new_tokens min_length", "use min_tokens", [0]),
  refused(GENERATE, "ban_eos_token", "use ignore_eos"),
  refused(
    GENERATE,
    "banned_tokens custom_token_bans banned_strings bad bad_token_ids bad_words_ids",
    "use logit_bias or bad_words",
  ),
  refused(GENERATE, "suppress_tokens begin_suppress_tokens sequence_bias", "use logit_bias"),
  refused(GENERATE, "force_words_ids forced_bos_token_id forced_eos_token_id", "use response_format"),
  refused(GENERATE, "allowed_tokens", "use allowed_token_ids"),
  refused(GENERATE, "rep_pen", "use repetition_penalty", [1]),
  refused(GENERATE, "sampler_seed", "use seed", [-1]),
  onlyTrue(GENERATE, "do_sample", "use temperature 0"),
  refused(GENERATE, "grammar_string", "use grammar"),
  refused(GENERATE, "guided_decoding structured json_mode response_schema output_schema", "use response_format"),
  refused(GENERATE, "responseSchema responseJsonSchema", "use response_format"),
  refused(GENERATE, "responseMimeType response_mime_type", "use response_format", ["text/plain"]),
  refused(GENERATE, "logit_bias_type", "logit_bias is by token id", ["input_ids"]),
  refused(["completions"], "return_full_text", "use echo"),
  refused(["completions"], "top_logprobs", "use logprobs", [0]),
  refused(GENERATE, "regex_pattern", "use regex"),
  refused(GENERATE, "n_probs return_logprob top_logprobs_num top_n_tokens", "use logprobs", [0]),
  refused(["chat", "completions"], "n_cmpl num_return_sequences", "use n", [1]),
  refused(["responses"], "logprobs", "use include with message.output_text.logprobs"),
  refused(
    GENERATE,
    "options parameters sampling_params generationConfig generation_config extra_body nvext",
    "put its fields into the body itself",
  ),
  // Unsupported ways to choose tokens.
  refused(GENERATE, "mirostat mirostat_mode", "there is no Mirostat", [0]),
  refused(GENERATE, "mirostat_target", "there is no Mirostat"),
  refused(GENERATE, "typical_p typical tfs_z tfs", "use top_p or min_p", [1]),
  refused(GENERATE, "top_a", "use min_p", [0]),
  refused(GENERATE, "top_n_sigma nsigma adaptive_target", "use min_p", [0, -1]),
  refused(GENERATE, "dry_multiplier no_repeat_ngram_size", "use repetition_penalty", [0]),
  refused(GENERATE, "encoder_repetition_penalty", "use repetition_penalty", [1]),
  refused(GENERATE, "xtc_probability epsilon_cutoff eta_cutoff skew penalty_alpha", "there is no such sampler", [0]),
  refused(GENERATE, "dynatemp_range dynamic_temperature smoothing_factor", "use temperature", [0]),
  refused(GENERATE, "min_temp max_temp dynatemp_low dynatemp_high", "use temperature", [0, 1]),
  refused(GENERATE, "top_p_min", "top_p stays as it is", [0, 1e-6]),
  refused(GENERATE, "top_p_decay", "top_p stays as it is", [1]),
  refused(GENERATE, "repetition_decay", "penalties do not fade", [0]),
  refused(GENERATE, "temperature_last samplers sampler_priority", "the order of sampling is fixed"),
  refused(GENERATE, "min_keep", "filters keep at least the likeliest token", [0, 1]),
  refused(GENERATE, "guidance_scale cfg_scale", "there is no guidance by a second prompt", [1]),
  refused(GENERATE, "negative_prompt", "there is no guidance by a second prompt"),
  refused(GENERATE, "use_beam_search early_stopping", "there is no beam search"),
  refused(GENERATE, "num_beams beam_width length_penalty", "there is no beam search", [1]),
  refused(GENERATE, "diversity_penalty", "there is no beam search", [0]),
  {
    ...refused(GENERATE, "best_of", "use n", [1]),
    unless: (body) => body.has("n") && body.raw("n") === body.raw("best_of"),
  },
  {
    ...refused(
      GENERATE,
      "repeat_last_n repetition_penalty_range rep_pen_range penalty_range repetition_range",
      "penalties count the whole context",
      [-1],
    ),
    unless: noPenalty,
  },
  refused(GENERATE, "logits_processors custom_logit_processor", "there are no processors of logits"),
  refused(GENERATE, "repetition_detection stop_regex", "only stop texts, tokens and lengths end an answer"),
  refused(GENERATE, "n_indent t_max_predict_ms", "only stop texts, tokens and lengths end an answer", [0]),
  refused(GENERATE, "watermark watermarking token_healing", "there is no such feature"),
  refused(GENERATE, "lora lora_path adapter_id", "there are no adapters"),
  // Unsupported ways to make the prompt or the answer.
  refused(GENERATE, "suffix", "there is no fill-in-the-middle"),
  refused(CONVERSATIONS, "chat_template template", "the folder's template is used"),
  refused(CONVERSATIONS, "raw", "use /v1/completions"),
  refused(["completions"], "chat_template template", "prompts are continued as they are; use /v1/chat/completions"),
  {
    ...refused(["completions"], "chat_template_kwargs", "prompts are continued as they are; use /v1/chat/completions"),
    unless: nothingOn,
  },
  harmless(["completions"], "raw continue_final_message add_generation_prompt", "prompts are continued as they are"),
  refused(CONVERSATIONS, "reasoning_format", "reasoning is always apart", ["auto", "deepseek"]),
  onlyTrue(CONVERSATIONS, "separate_reasoning", "reasoning is always apart"),
  refused(CONVERSATIONS, "documents", "put them into a message"),
  refused(["completions"], "documents", "put them into the prompt"),
  refused(["completions"], "prefill assistant_prefill response_prefix", "end the prompt with it"),
  refused(
    CONVERSATIONS,
    "prefill assistant_prefill response_prefix",
    "end the conversation with the assistant's message",
  ),
  refused(CONVERSATIONS, "echo return_full_text", "the conversation is not repeated"),
  {
    ...onlyTrue(["messages"], "continue_final_message", "leave out the last message of the assistant"),
    unless: (body) => body.raw("continue_final_message") === false && !endsWithAssistant(body),
  },
  {
    ...onlyTrue(["messages"], "add_generation_prompt", "only where the last message is the assistant's"),
    unless: (body) => body.raw("add_generation_prompt") === false && endsWithAssistant(body),
  },
  {
    ...onlyTrue(["chat", "responses"], "add_generation_prompt", "only beside continue_final_message"),
    unless: (body) => body.raw("continue_final_message") === true,
  },
  refused(GENERATE, "prompt_mode guardrails", "the server adds no prompts"),
  refused(CONVERSATIONS, "add_special_tokens", "the chat template has them already"),
  onlyTrue(CONVERSATIONS, "add_bos_token", "prompts of conversations begin with it"),
  onlyTrue(["completions", "embeddings"], "add_special_tokens add_bos_token", "give token ids instead"),
  refused(ALL, "truncate_prompt_tokens prompt_truncate_len", "prompts are never cut"),
  refused(ALL, "truncate", "texts are never cut", ["NONE", "none"]),
  refused(GENERATE, "context_length_exceeded_behavior", "prompts are never cut", ["error"]),
  refused(GENERATE, "modalities", "this model writes text only", [["text"]]),
  refused(GENERATE, "audio images image_url", "this model reads and writes text only"),
  refused(
    GENERATE,
    "web_search_options web_search enable_search plugins search_parameters mcp_servers",
    "the server runs no searches or tools",
  ),
  refused(GENERATE, "safety_model", "answers are not moderated"),
  refused(GENERATE, "guided_whitespace_pattern", "use response_format, or a grammar"),
  refused(GENERATE, "grammar_lazy", "a grammar applies from the first token"),
  refused(GENERATE, "include_stop_str_in_output no_stop_trim", "stop texts are not part of the answer"),
  onlyTrue(GENERATE, "skip_special_tokens detokenize", "special tokens have no text"),
  refused(GENERATE, "return_tokens return_token_ids return_tokens_as_token_ids return_prompt_text", "use /tokenize"),
  refused(
    GENERATE,
    "return_hidden_states return_routed_experts post_sampling_probs response_fields",
    "there is no such feature",
  ),
  refused(GENERATE, "prompt_logprobs logprob_token_ids", "/v1/completions has echo with logprobs"),
  refused(["messages"], "logprobs top_logprobs", "use /v1/chat/completions", [0]),
  refused(["messages", "responses"], "n n_cmpl num_return_sequences", "one answer for each request", [1]),
  refused(GENERATE, "background", "answers are given at once"),
  refused(["embeddings"], "dimensions output_dimension", "vectors have the model's width"),
  refused(["embeddings"], "output_dtype embedding_type embedding_types", "use encoding_format", ["float", ["float"]]),
  refused(["embeddings"], "instruction late_chunking return_multivector", "each text is embedded as it is"),
  onlyTrue(["embeddings"], "normalize normalized", "vectors have the length 1"),

  // Fields that make no difference here.
  harmless(ALL, "model model_id", "which of several models answers; any name, or none, where there is one"),
  harmless(
    ALL,
    "user user_id metadata safety_identifier session_id request_id rid priority",
    "about the caller and the priority of the request",
  ),
  harmless(
    ALL,
    "store service_tier provider models route keep_alive ttl vllm_xargs",
    "how a hosting service runs the request",
  ),
  harmless(
    GENERATE,
    "prompt_cache_key prompt_cache_retention cache_control cache_prompt cache_salt",
    "the prefix cache needs no hints",
  ),
  harmless(
    GENERATE,
    "id_slot n_keep n_discard n_cache_reuse kv_transfer_params",
    "the server manages its memory itself",
  ),
  harmless(GENERATE, "prediction speculation draft_model", "hints for speculative decoding"),
  harmless(["completions"], `${REASONING} include_reasoning`, "prompts are continued as they are"),
  harmless(["messages"], "include_reasoning", "thinking blocks are always shown"),
  harmless(GENERATE, "verbosity stream_reasoning", "hints that models of this server do not know"),
  harmless(["completions"], "separate_reasoning reasoning_format", "prompts are continued as they are"),
  harmless(
    GENERATE,
    "transforms context_management num_ctx generate_window truncation",
    "for prompts that are too long: those are rejected",
  ),
  harmless(["chat", "completions", "messages"], "include", "what answers of the responses API contain"),
  harmless(GENERATE, "container speed inference_geo betas", "how a hosting service runs the request"),
  harmless(GENERATE, "max_tool_calls", "for tools that a server runs: there are none"),
  harmless(["messages", "responses"], "stream_options usage", "streams contain the usage anyway"),
  harmless(
    GENERATE,
    "mirostat_tau mirostat_eta mirostat_lr dry_base dry_allowed_length dry_penalty_last_n dry_range",
    "parameters of samplers that are rejected",
  ),
  harmless(
    GENERATE,
    "dry_sequence_breakers xtc_threshold dynatemp_exponent smoothing_curve",
    "parameters of samplers that are rejected",
  ),
  harmless(GENERATE, "guided_decoding_backend spaces_between_special_tokens", "which grammar library to use"),
  harmless(
    GENERATE,
    "timings_per_token return_progress sse_ping_interval stream_interval",
    "extra information in streams",
  ),
  harmless(
    GENERATE,
    "mm_processor_kwargs media_io_kwargs truncation_side",
    "for images and truncation, which are not supported",
  ),
  harmless(["embeddings"], "input_type task task_type prompt_name", "hints for models that were trained with them"),
];

/**
 * Rejects unsupported fields that would change the answer.
 * @throws RequestError that names the field
 */
export function refuseUnsupported(body: Fields, endpoint: Endpoint): void {
  for (const row of FIELDS) {
    if (row.kind !== "refused" || !row.on.includes(endpoint)) continue;
    for (const name of row.names) {
      if (!body.has(name) || asksForNothing(row, body.raw(name)) || row.unless?.(body)) continue;
      throw wrong(body.path(name), `is not supported: ${row.note}`, undefined);
    }
  }
}

function asksForNothing({ off = [], onlyThese }: FieldRow, value: unknown): boolean {
  if (off.some((one) => one === value || (Array.isArray(one) && Array.isArray(value) && same(one, value)))) return true;
  if (onlyThese) return false;
  return value === false || value === "" || (typeof value === "object" && Object.keys(value ?? {}).length === 0);
}

function same(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((value, i) => value === other[i]);
}
