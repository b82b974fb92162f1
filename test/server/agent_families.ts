// Model families as agents meet them: templates of our own that show calls, results and reasoning
// as the families' templates do, and answers as their models write them.

import { markedFiles } from "../chat/family_support.ts";
import { CONTROL_FILES, TALES_FILES } from "../chat/support.ts";

/** markedFiles() with a vocabulary that puts no space in front of texts, as the families have. */
function files(template: string): Readonly<Record<string, unknown>> {
  const { files } = markedFiles(template);
  const json = files["tokenizer.json"] as Record<string, unknown>;
  const normalizer = { type: "Replace", pattern: { String: " " }, content: "\u2581" };
  const decoders = (json.decoder as { decoders: readonly { type: string }[] }).decoders;
  const decoder = { type: "Sequence", decoders: decoders.filter(({ type }) => type !== "Strip") };
  return { ...files, "tokenizer.json": { ...json, normalizer, decoder } };
}

/** A step of an agent's work, as the model puts it: `args` is JSON, in the model's own spacing. */
export interface Step {
  readonly thought: string;
  readonly say: string;
  readonly name: string;
  readonly args: string;
}

export interface Family {
  readonly name: string;
  readonly files: Readonly<Record<string, unknown>>;
  readonly template: string | null;
  /** An answer with a call, and one that ends the work, each with the mark that ends it. */
  readonly call: (step: Step) => string;
  readonly last: (thought: string, say: string) => string;
  readonly thinks: boolean;
  /** Whether system messages behind an answer stay there. */
  readonly keepsPlace: boolean;
}

/** Qwen3: reasoning is shown behind the last question only. */
const QWEN = `{%- if tools %}<|im_start|>system
{{ messages[0].content }}
<tools>
{%- for t in tools %}
{{ t | tojson }}
{%- endfor %}
</tools>
Call with <tool_call>
{"name": <name>, "arguments": <object>}
</tool_call><|im_end|>
{% endif %}
{%- set ns = namespace(last=0) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
{%- if m.role == 'user' or m.role == 'system' and not loop.first %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}
{%- elif m.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}
{%- if loop.index0 > ns.last and m.reasoning_content %}{{ '<think>\\n' + m.reasoning_content.strip('\\n') + '\\n</think>\\n\\n' }}{% endif %}
{{- m.content }}
{%- for c in m.tool_calls or [] %}
{%- if m.content or not loop.first %}{{ '\\n' }}{% endif %}
{{- '<tool_call>\\n{"name": "' + c.function.name + '", "arguments": ' }}{{ c.function.arguments | tojson }}{{ '}\\n</tool_call>' }}
{%- endfor %}{{ '<|im_end|>\\n' }}
{%- elif m.role == 'tool' %}
{%- if messages[loop.index0 - 1].role != 'tool' %}{{ '<|im_start|>user' }}{% endif %}
{{- '\\n<tool_response>\\n' + m.content + '\\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{ '<|im_end|>\\n' }}{% endif %}
{%- endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}`;

/** GLM-4.6: an empty thought where none is shown, and an answer ends where the next turn begins. */
const GLM = `{%- if tools %}<|system|>
{% for t in tools %}{{ t | tojson }}
{% endfor %}<tool_call>name
<arg_key>key</arg_key>
<arg_value>value</arg_value>
</tool_call>{% endif %}
{%- set ns = namespace(last=-1) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}
{%- if m.role == 'user' %}{{ '<|user|>\\n' + m.content }}
{%- elif m.role == 'system' %}{{ '<|system|>\\n' + m.content }}
{%- elif m.role == 'assistant' %}{{ '<|assistant|>' }}
{%- if loop.index0 > ns.last and m.reasoning_content %}{{ '\\n<think>' + m.reasoning_content.strip() + '</think>' }}
{%- else %}{{ '\\n<think></think>' }}{% endif %}
{%- if m.content.strip() %}{{ '\\n' + m.content.strip() }}{% endif %}
{%- for c in m.tool_calls or [] %}{{ '\\n<tool_call>' + c.function.name + '\\n' }}
{%- for k, v in c.function.arguments.items() %}
{{- '<arg_key>' + k + '</arg_key>\\n<arg_value>' }}{{ v if v is string else v | tojson }}{{ '</arg_value>\\n' }}
{%- endfor %}{{ '</tool_call>' }}{% endfor %}
{%- elif m.role == 'tool' %}
{%- if messages[loop.index0 - 1].role != 'tool' %}{{ '<|observation|>' }}{% endif %}
{{- '\\n<tool_response>\\n' + m.content + '\\n</tool_response>' }}
{%- endif %}{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}`;

/** gpt-oss: reasoning is left out once a final message follows it. */
const HARMONY = `<|start|>system<|message|>Reasoning: {{ reasoning_effort or 'medium' }}<|end|>
{{- '<|start|>developer<|message|>' }}{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}
{%- for t in tools or [] %}
type {{ t.function.name }} = {{ t.function.parameters | tojson }};{% endfor %}<|end|>
{%- for m in messages %}
{%- if m.role == 'user' %}{{ '<|start|>user<|message|>' + m.content + '<|end|>' }}
{%- elif m.role == 'tool' %}
{{- '<|start|>functions.' + messages[loop.index0 - 1].tool_calls[0].function.name }}
{{- ' to=assistant<|channel|>commentary<|message|>' }}{{ m.content | tojson }}<|end|>
{%- elif m.role == 'assistant' and m.tool_calls %}
{%- set ns = namespace(final=false) %}
{%- for later in messages[loop.index:] %}{% if later.role == 'assistant' and not later.tool_calls %}{% set ns.final = true %}{% endif %}{% endfor %}
{%- if m.thinking and not ns.final %}{{ '<|start|>assistant<|channel|>analysis<|message|>' + m.thinking + '<|end|>' }}{% endif %}
{{- '<|start|>assistant to=functions.' + m.tool_calls[0].function.name + '<|channel|>commentary json<|message|>' }}
{{- m.tool_calls[0].function.arguments | tojson }}<|call|>
{%- elif m.role == 'assistant' %}{{ '<|start|>assistant<|channel|>final<|message|>' + m.content + '<|end|>' }}
{%- endif %}{% endfor %}
{%- if add_generation_prompt %}<|start|>assistant{% endif %}{# <|return|> <|constrain|> #}`;

const jsonCall = ({ name, args }: Step): string => `{"name":"${name}","arguments":${args}}`;

export const FAMILIES: readonly Family[] = [
  {
    name: "Mixtral-8x7B, the JSON protocol",
    ...{ files: TALES_FILES, template: null, thinks: false, keepsPlace: true },
    call: (step) => `{"tool_calls":[${jsonCall(step)}]}</s>`,
    last: (_, say) => `${say}</s>`,
  },
  {
    name: "Mixtral-8x22B, Mistral's own calls",
    ...{ files: CONTROL_FILES, template: null, thinks: false, keepsPlace: false },
    call: ({ name, args }) =>
      `[TOOL_CALLS][{"name":"${name}","arguments":${args},"id":"a${String(args.length).padStart(8, "0")}"}]</s>`,
    last: (_, say) => `${say}</s>`,
  },
  {
    name: "Qwen3",
    ...{ files: files(QWEN), template: QWEN, thinks: true, keepsPlace: true },
    call: (step) =>
      `<think>\n${step.thought}\n</think>\n\n${step.say}\n\n<tool_call>\n${jsonCall(step)}\n</tool_call><|im_end|>`,
    last: (thought, say) => `<think>\n${thought}\n</think>\n\n${say}<|im_end|>`,
  },
  {
    name: "GLM-4.6",
    ...{ files: files(GLM), template: GLM, thinks: true, keepsPlace: true },
    call: ({ thought, say, name, args }) => {
      const pairs = Object.entries(JSON.parse(args) as Record<string, unknown>).map(([key, value]) => {
        const text = typeof value === "string" ? value : JSON.stringify(value);
        return `<arg_key>${key}</arg_key>\n<arg_value>${text}</arg_value>\n`;
      });
      return `\n<think>${thought}\n</think>\n\n${say}\n<tool_call>${name}\n${pairs.join("")}</tool_call><|observation|>`;
    },
    last: (thought, say) => `\n<think>${thought}\n</think>\n\n${say}<|user|>`,
  },
  {
    name: "gpt-oss",
    ...{ files: files(HARMONY), template: HARMONY, thinks: true, keepsPlace: true },
    call: ({ thought, name, args }) =>
      `<|channel|>analysis<|message|>${thought}<|end|><|start|>assistant<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>${args}<|call|>`,
    last: (thought, say) =>
      `<|channel|>analysis<|message|>${thought}<|end|><|start|>assistant<|channel|>final<|message|>${say}<|return|>`,
  },
];
