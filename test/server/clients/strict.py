"""OpenAI's and Anthropic's clients for Python against a running server. Both check what they get
against their types (`_strict_response_validation`), so that a missing or misspelled field fails.

    pip install openai anthropic
    hotset serve <model> --port 8080
    python3 test/server/clients/strict.py http://127.0.0.1:8080 [key]
"""

import asyncio
import sys
import warnings
from typing import Literal

import anthropic
import openai
from pydantic import BaseModel, Field

BASE, KEY = sys.argv[1], (sys.argv[2:] or ["k"])[0]
HI = [{"role": "user", "content": "hi"}]
STRICT = {"api_key": KEY, "max_retries": 0, "_strict_response_validation": True}
gpt = openai.OpenAI(base_url=f"{BASE}/v1", **STRICT)
claude = anthropic.Anthropic(base_url=BASE, **STRICT)
failed = []
warnings.simplefilter("error")


class Weather(BaseModel):
    """The weather."""

    city: str = Field(max_length=8)
    unit: Literal["c", "f"]


SCHEMA = {**Weather.model_json_schema(), "additionalProperties": False}
CHAT = {"model": "m", "messages": HI, "max_tokens": 200}
RESPONSE = {"model": "m", "input": "hi", "max_output_tokens": 200}
CHAT_TOOLS = {"tools": [openai.pydantic_function_tool(Weather)], "parallel_tool_calls": False}
TOOL = {"type": "function", "name": "Weather", "parameters": SCHEMA, "strict": True}
CLAUDE_TOOL = {"name": "Weather", "input_schema": SCHEMA}
ONE = {"type": "any", "disable_parallel_tool_use": True}


def check(name, work):
    try:
        work()
        print(f"ok    {name}")
    except Exception as error:  # reported, and the next check has its turn
        failed.append(name)
        print(f"FAILS {name}: {type(error).__name__}: {error} {error.__cause__ or ''}")


def sound(answer):
    """The answer, if it is the same through JSON, without a warning."""
    type(answer).model_validate_json(answer.model_dump_json(warnings="error"))
    return answer


def each(events):
    return [sound(event) for event in events]


def last(stream, final):
    with stream as events:
        for _ in events:
            pass
        return final(events)


def is_weather(value):
    assert isinstance(value, Weather), value


def refused(work, error, field):
    try:
        work()
    except error as found:
        assert field in str(found), found
    else:
        raise AssertionError("no error")


def count_equals_usage():
    count = sound(gpt.responses.input_tokens.count(model="m", input="hi", tools=[TOOL]))
    usage = gpt.responses.create(**{**RESPONSE, "max_output_tokens": 1}, tools=[TOOL]).usage
    assert count.input_tokens == usage.input_tokens, (count, usage)


def cancelled():
    async def work():
        client = openai.AsyncOpenAI(base_url=f"{BASE}/v1", **STRICT)
        task = asyncio.create_task(client.chat.completions.create(**{**CHAT, "max_tokens": 2000}))
        await asyncio.sleep(0.2)
        task.cancel()
        assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)
        sound(await client.chat.completions.create(**CHAT))
        await client.close()

    asyncio.run(work())


chat, responses, messages = gpt.chat.completions, gpt.responses, claude.messages
logprobs = {"logprobs": True, "top_logprobs": 5}
called = {**CHAT, **CHAT_TOOLS, "tool_choice": "required"}
usage = {"stream_options": {"include_usage": True}}
asks = {**CHAT, "tools": [CLAUDE_TOOL], "tool_choice": ONE}
wants = {**RESPONSE, "tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
for name, work in {
    "chat": lambda: sound(chat.create(**CHAT, **logprobs)),
    "chat, stream": lambda: each(chat.create(**CHAT, **usage, **logprobs, stream=True)),
    "chat, parse": lambda: is_weather(chat.parse(**CHAT, response_format=Weather).choices[0].message.parsed),
    "chat, stream and parse": lambda: is_weather(
        last(chat.stream(**CHAT, response_format=Weather), lambda s: s.get_final_completion()).choices[0].message.parsed
    ),
    "chat, tools": lambda: sound(chat.create(**called)),
    "chat, tools in a stream": lambda: each(chat.create(**called, stream=True)),
    "chat, 400": lambda: refused(lambda: chat.create(**CHAT, temperature=-1), openai.BadRequestError, "temperature"),
    "chat, cancelled": cancelled,
    "completions": lambda: sound(gpt.completions.create(model="m", prompt=["a", "b"], n=2, max_tokens=3)),
    "embeddings": lambda: sound(gpt.embeddings.create(model="m", input=["a", "b"], encoding_format="float")),
    "models": lambda: each(gpt.models.list()),
    "responses": lambda: sound(responses.create(**RESPONSE, store=False)),
    "responses, stream": lambda: each(responses.create(**RESPONSE, stream=True)),
    "responses, parse": lambda: is_weather(responses.parse(**RESPONSE, text_format=Weather).output_parsed),
    "responses, tools": lambda: sound(responses.create(**wants)),
    "responses, tools in a stream": lambda: each(responses.create(**wants, stream=True)),
    "responses, count": count_equals_usage,
    "messages": lambda: sound(messages.create(**CHAT, system="s", thinking={"type": "adaptive"})),
    "messages, stream": lambda: each(messages.create(**CHAT, stream=True)),
    "messages, tools": lambda: sound(messages.create(**asks)),
    "messages, tools in a stream": lambda: last(messages.stream(**asks), lambda s: sound(s.get_final_message())),
    "messages, count": lambda: sound(messages.count_tokens(model="m", messages=HI)),
    "messages, models": lambda: each(claude.models.list()),
    "messages, no batches": lambda: refused(lambda: messages.batches.list(), anthropic.NotFoundError, "/batches"),
}.items():
    check(name, work)
print(f"openai {openai.__version__}, anthropic {anthropic.__version__}: {len(failed)} failed")
sys.exit(1 if failed else 0)
