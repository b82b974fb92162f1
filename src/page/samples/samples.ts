// The present conversation as code, in several languages. What is shown runs as shown: the address
// is the server's own, the key comes from the environment.

import type { Request } from "../chat/requests.ts";
import type { ParameterName } from "../engine.ts";
import { chatBody, completionBody } from "../remote/bodies.ts";
import { anthropicBody } from "./anthropic.ts";
import { library } from "./library.ts";
import { javascript, python, pythonArguments } from "./literals.ts";

export interface Sample {
  readonly id: string;
  readonly title: string;
  /** For the colours. */
  readonly language: string;
  readonly code: string;
}

/** @param url the server's base URL, without a final slash */
export function samplesOf(given: Request, url: string): readonly Sample[] {
  const path = given.kind === "chat" ? "/v1/chat/completions" : "/v1/completions";
  const body = given.kind === "chat" ? chatBody(given.request) : completionBody(given.request);
  return [
    { id: "curl", title: "curl", language: "bash", code: curl(url + path, body) },
    { id: "python", title: "Python", language: "python", code: openaiPython(given.kind, url, body) },
    { id: "javascript", title: "JavaScript", language: "javascript", code: openaiJavascript(given.kind, url, body) },
    { id: "hotset", title: "hotset's library", language: "javascript", code: library(given) },
    ...(given.kind === "chat"
      ? [
          {
            id: "anthropic",
            title: "Anthropic",
            language: "python",
            code: anthropic(url, anthropicBody(given.request)),
          },
        ]
      : []),
    { id: "php", title: "PHP", language: "php", code: php(given.kind, url + path, body) },
  ];
}

/** Lines of JSON begin with a sign or a number, so none of them ends the text too early. */
function curl(url: string, body: object): string {
  return `curl ${shell(url)} \\
  -H "content-type: application/json" \\
  -H "authorization: Bearer \${HOTSET_API_KEY:-none}" \\
  -d @- <<'JSON'
${JSON.stringify(body, null, 2)}
JSON
`;
}

function shell(text: string): string {
  return /^[\w:/.[\]-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Fields that OpenAI's Python client has no argument for. */
const EXTRA: ReadonlySet<string> = new Set<ParameterName>(["top_k", "min_p", "repetition_penalty"]);

function openaiPython(kind: Request["kind"], url: string, body: object): string {
  const own = Object.entries(body).filter(([name]) => !isExtra(kind, name));
  const extra = Object.entries(body).filter(([name]) => isExtra(kind, name));
  const fields = { ...Object.fromEntries(own), ...(extra.length > 0 && { extra_body: Object.fromEntries(extra) }) };
  const [call, print] =
    kind === "chat"
      ? ["chat.completions", "message = answer.choices[0].message\nprint(message.content or message.tool_calls)"]
      : ["completions", "print(answer.choices[0].text)"];
  return `# pip install openai
import os
from openai import OpenAI

client = OpenAI(base_url=${python(`${url}/v1`)}, api_key=os.environ.get("HOTSET_API_KEY", "none"))
answer = client.${call}.create(
${pythonArguments(fields)})
${print}
`;
}

function isExtra(kind: Request["kind"], name: string): boolean {
  return EXTRA.has(name) || (kind === "text" && name === "response_format");
}

function openaiJavascript(kind: Request["kind"], url: string, body: object): string {
  const [call, print] =
    kind === "chat"
      ? [
          "chat.completions",
          "const { message } = answer.choices[0];\nconsole.log(message.content ?? message.tool_calls);",
        ]
      : ["completions", "console.log(answer.choices[0].text);"];
  return `// npm install openai
import OpenAI from "openai";

const client = new OpenAI({ baseURL: ${JSON.stringify(`${url}/v1`)}, apiKey: process.env.HOTSET_API_KEY ?? "none" });
const answer = await client.${call}.create(${javascript(body)});
${print}
`;
}

function anthropic(url: string, { body, extra }: ReturnType<typeof anthropicBody>): string {
  const fields = { ...body, ...(Object.keys(extra).length > 0 && { extra_body: extra }) };
  return `# pip install anthropic
import os
from anthropic import Anthropic

client = Anthropic(base_url=${python(url)}, api_key=os.environ.get("HOTSET_API_KEY", "none"))
message = client.messages.create(
${pythonArguments(fields)})
for block in message.content:
    print(block.text if block.type == "text" else block)
`;
}

function php(kind: Request["kind"], url: string, body: object): string {
  const text = kind === "chat" ? '["message"]["content"]' : '["text"]';
  return `<?php
$body = <<<'JSON'
${JSON.stringify(body, null, 2)}
JSON;
$request = curl_init('${url.replace(/['\\]/g, "\\$&")}');
curl_setopt_array($request, [
    CURLOPT_POSTFIELDS => $body,
    CURLOPT_HTTPHEADER => [
        "content-type: application/json",
        "authorization: Bearer " . (getenv("HOTSET_API_KEY") ?: "none"),
    ],
    CURLOPT_RETURNTRANSFER => true,
]);
$answer = curl_exec($request);
if ($answer === false) exit(curl_error($request) . "\\n");
echo json_decode($answer, true)["choices"][0]${text} ?? $answer, "\\n";
`;
}
