// What the tests of model families share: small chat templates of our own with the families' marks,
// and a vocabulary in which those are tokens.

import { openChat } from "../../src/chat/conventions.ts";
import { TALES_JSON, tokenizerOf } from "../tokenizer/support.ts";
import { memoryFiles } from "../weights/memory_files.ts";

/** A mark of DeepSeek's, in its characters. */
export const D = (words: string): string => `<\uff5c${words.replaceAll(" ", "\u2581")}\uff5c>`;

const json = JSON.parse(TALES_JSON) as { added_tokens: object[] };

/**
 * Files of a vocabulary in which the marks of a template are tokens, and its size. Marks in angles
 * alone are part of the text, all others are control tokens.
 */
export function markedFiles(template: string) {
  const all = template.includes("tool_list") ? `${template}<|tool_call_start|><|tool_call_end|>` : template;
  const found = all.match(/<\|[a-z_]+\|>|<\uff5c[^\uff5c<>]+\uff5c>|<\/?think>|<\/?tool_call>/g) ?? [];
  const marks = [...new Set(found)];
  const added = marks.map((content, i) => ({
    id: 4096 + i,
    content,
    special: !/^<\/?[a-z_]+>$/.test(content),
    normalized: false,
    lstrip: false,
    rstrip: false,
    single_word: false,
  }));
  const files = {
    "tokenizer.json": { ...json, added_tokens: [...json.added_tokens, ...added] },
    "tokenizer_config.json": { bos_token: "<s>", eos_token: "</s>" },
  };
  return { files, size: 4096 + marks.length };
}

/** A chat with a template in its own vocabulary. */
export async function chatOf(template: string) {
  const tokenizer = await tokenizerOf(markedFiles(template).files);
  const chat = await openChat(memoryFiles({ "chat_template.jinja": template }), tokenizer);
  /** The prompt without the spaces that this vocabulary puts behind control tokens. */
  const prompt = (...given: Parameters<typeof chat.prompt>): string =>
    tokenizer.decode(chat.prompt(...given), { skipSpecialTokens: false }).replace(/(?<=[|\uff5c>]) /g, "");
  const stops = chat.stopIds.map((id) => tokenizer.idToPiece(id));
  return { chat, tokenizer, prompt, stops };
}

export const QWEN = `{% for t in tools %}{{ t | tojson }}<tool_call>{"arguments": {}}</tool_call>{% endfor %}
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% endif %}{% endif %}`;
export const GLM = `{% for t in tools %}<arg_key></arg_key><arg_value></arg_value>{% endfor %}
{%- for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{{ '</think>' if enable_thinking is false else '<think>' }}{% endif %}{# <|user|> <|observation|> #}`;
export const GLM_LINES = `{% for t in tools %}<arg_key></arg_key>
<arg_value></arg_value>{% endfor %}{% for m in messages %}<|{{ m.role }}|>
{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{{ '\\n<think></think>' if enable_thinking is false else '' }}{% endif %}`;
export const DEEPSEEK = `{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}{% elif m.role == 'tool' %}${D("tool output begin")}{{ m.content }}${D("tool output end")}
{%- elif m.role == 'user' %}${D("User")}{{ m.content }}{% elif m.content is none %}${D("Assistant")}${D("tool calls begin")}
{%- for c in m.tool_calls %}${D("tool call begin")}{{ c.function.name + '${D("tool sep")}' + c.function.arguments }}${D("tool call end")}{% endfor %}${D("tool calls end")}
{%- else %}${D("Assistant")}{{ m.content }}${D("end of sentence")}{% endif %}{% endfor %}{% if add_generation_prompt %}${D("Assistant")}{{ '<think>' if thinking else '</think>' }}{% endif %}`;
export const HARMONY = `<|start|>system<|message|>Reasoning: {{ reasoning_effort or 'medium' }}<|end|>
{%- for m in messages %}<|start|>{{ m.role }}{% if m.tool_calls %}<|channel|>commentary to=functions.{{ m.tool_calls[0].function.name }}<|message|>
{{- m.tool_calls[0].function.arguments | tojson }}<|call|>{% else %}{% if m.role == 'assistant' %}<|channel|>final{% endif %}<|message|>{{ m.content }}<|end|>{% endif %}
{%- endfor %}{% if tools %}{{ tools[0].function.name }}{% endif %}<|start|>assistant{# <|return|> #}`;
export const GRANITE = `{% if tools %}{{ tools | tojson }}<|tool_call|>{% endif %}
{%- for m in messages %}<|start_of_role|>{{ m.role }}<|end_of_role|>{{ m.content }}<|end_of_text|>
{% endfor %}{% if thinking %}<think></think><response></response>{% endif %}<|start_of_role|>assistant<|end_of_role|>`;
/** Qwen3-Coder. */
export const CODER = QWEN.replace('{"arguments": {}}', "<function=f><parameter=p>");
/** DeepSeek's R1 and V3. */
export const R1 = DEEPSEEK.replace("+ c.function.arg", "+ '\\n```json\\n' + c.function.arg");
/** LFM2, whose template leaves calls out of earlier messages. */
export const LFM2 = `{% if tools %}<|tool_list_start|>{{ tools | tojson }}<|tool_list_end|>{% endif %}
{%- for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}<|im_start|>assistant
`;
/** MiniMax-M2. */
export const MINIMAX = `{% if tools %}{{ tools | tojson }}<minimax:tool_call></minimax:tool_call>{% endif %}
{%- for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[ai]
<think>
{# </think> #}`;
