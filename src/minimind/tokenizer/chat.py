"""Dialogues as token ids, and the mask of what the assistant said.

A dialogue is written piece by piece: control tokens by their id, words as plain text, so nothing that somebody types
can end a turn or open another. Words next to each other are encoded together unless the mask changes between them; the
ids are therefore those of the rendered string in any ChatML implementation (except where the assistant begins with a
space), and the boundary before the assistant's first word is the same in training and in generation.
`chat_template.jinja` says the same for transformers.
"""

import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from re import split
from typing import Any, NamedTuple

from minimind.config import UserError
from minimind.tokenizer.special import ASSISTANT_TAGS, MESSAGE_END, MESSAGE_START

Message = dict[str, Any]

TOOL_CALL_EXAMPLE = '\n{"name": "...", "arguments": {...}}\n'


class Rendered(NamedTuple):
    """A dialogue of T tokens. `mask[t]` is True where the assistant said token t, its `<|im_end|>` included."""

    ids: list[int]
    mask: list[bool]


def template() -> str:
    """The Jinja chat template that renders as `Renderer` does, for transformers."""
    return files("minimind.tokenizer").joinpath("chat_template.jinja").read_text(encoding="utf-8")


class Renderer:
    """Renders with one tokenizer's `encode_batch`, `token_id` and control ids."""

    def __init__(
        self,
        encode_batch: Callable[[Sequence[str]], list[list[int]]],
        token_id: Callable[[str], int | None],
        start_id: int,
        end_id: int,
    ) -> None:
        self._encode_batch = encode_batch
        tags = (*ASSISTANT_TAGS, "<tool_response>", "</tool_response>")
        found = {MESSAGE_START: start_id, MESSAGE_END: end_id} | {tag: token_id(tag) for tag in tags}
        self.reserved = {name: index for name, index in found.items() if index is not None}

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Any] | str | None,
        add_generation_prompt: bool,
        enable_thinking: bool | None,
    ) -> Rendered:
        """See `Tokenizer.render`. Tools may also stand on the first message, as in the data; the argument wins.

        UserError: unknown role, content that is not a string, tools or tool calls that cannot be read.
        """
        script = _Script(self.reserved)
        if tools is None and messages:
            tools = messages[0].get("tools")
        tools = _json_list(tools, "tools")
        if tools and (not messages or messages[0].get("role") != "system"):
            _write_system(script, "", tools)
        for index, message in enumerate(messages):
            role = message.get("role")
            where = f"message {index} ({role})"
            if role == "system":
                _write_system(script, _content(message, where), tools if index == 0 else [])
            elif role == "user":
                script.turn("user", _content(message, where))
            elif role == "tool":
                follows = index > 0 and messages[index - 1].get("role") == "tool"
                continues = index + 1 < len(messages) and messages[index + 1].get("role") == "tool"
                _write_tool_result(script, _content(message, where), first=not follows, last=not continues)
            elif role == "assistant":
                _write_assistant(script, message, where)
            else:
                raise UserError(f"message {index} has the role {role!r}; use system, user, assistant or tool")
        if add_generation_prompt:
            _write_prompt(script, enable_thinking)
        return script.encode(self._encode_batch)


class _Script:
    """A dialogue being written: runs of (words or control id, said by the assistant)."""

    def __init__(self, reserved: dict[str, int]) -> None:
        self._reserved = reserved
        self._runs: list[tuple[str | int, bool]] = []

    def say(self, words: str, said: bool = False) -> None:
        """Plain words, whatever they contain."""
        if not words:
            return
        if self._runs:
            before, before_said = self._runs[-1]
            if isinstance(before, str) and before_said == said:
                self._runs[-1] = (before + words, said)
                return
        self._runs.append((words, said))

    def mark(self, name: str, said: bool = False) -> None:
        """A control token; its plain name where the tokenizer has no such entry."""
        if name in self._reserved:
            self._runs.append((self._reserved[name], said))
        else:
            self.say(name, said)

    def say_tagged(self, words: str) -> None:
        """The assistant's words, in which the assistant's own tags count as tags."""
        for part in split("(" + "|".join(ASSISTANT_TAGS) + ")", words):
            if part in ASSISTANT_TAGS:
                self.mark(part, said=True)
            else:
                self.say(part, said=True)

    def turn(self, role: str, words: str) -> None:
        """A whole turn that is not the assistant's."""
        self.mark(MESSAGE_START)
        self.say(f"{role}\n{words}")
        self.end()

    def end(self, said: bool = False) -> None:
        self.mark(MESSAGE_END, said)
        self.say("\n")

    def encode(self, encode_batch: Callable[[Sequence[str]], list[list[int]]]) -> Rendered:
        words = list(dict.fromkeys(run for run, _ in self._runs if isinstance(run, str)))  # most turns share some
        encoded = dict(zip(words, encode_batch(words), strict=True))
        ids: list[int] = []
        mask: list[bool] = []
        for run, said in self._runs:
            found = encoded[run] if isinstance(run, str) else [run]
            ids += found
            mask += [said] * len(found)
        return Rendered(ids, mask)


def _write_system(script: _Script, words: str, tools: list[Any]) -> None:
    script.mark(MESSAGE_START)
    script.say("system\n" + words)
    if tools:
        script.say(("\n\n" if words else "") + "# Tools\n")
        for tool in tools:
            script.say(_json(tool.get("function", tool) if isinstance(tool, dict) else tool) + "\n")
        script.say("\nTo use one, write:\n")
        script.mark("<tool_call>")
        script.say(TOOL_CALL_EXAMPLE)
        script.mark("</tool_call>")
    script.end()


def _write_tool_result(script: _Script, words: str, first: bool, last: bool) -> None:
    """Results of several calls in a row share one user turn."""
    if first:
        script.mark(MESSAGE_START)
        script.say("user")
    script.say("\n")
    script.mark("<tool_response>")
    script.say(f"\n{words}\n")
    script.mark("</tool_response>")
    if last:
        script.end()


def _write_assistant(script: _Script, message: Message, where: str) -> None:
    calls = _json_list(message.get("tool_calls"), f"tool_calls of {where}")
    reasoning = message.get("reasoning_content")
    silent = message.get("content") is None and (calls or reasoning is not None)
    words = "" if silent else _content(message, where)
    script.mark(MESSAGE_START)
    script.say("assistant\n")
    if reasoning is not None:
        if not isinstance(reasoning, str):
            raise UserError(f"reasoning_content of {where} is {type(reasoning).__name__}, not a string")
        script.mark("<think>", said=True)
        script.say(f"\n{reasoning}\n", said=True)
        script.mark("</think>", said=True)
        script.say("\n\n", said=True)
    script.say_tagged(words)
    for index, call in enumerate(calls):
        name, arguments = _call(call, where)
        script.say("\n" if words or index else "", said=True)
        script.mark("<tool_call>", said=True)
        script.say(f'\n{{"name": {_json(name)}, "arguments": {arguments}}}\n', said=True)
        script.mark("</tool_call>", said=True)
    script.end(said=True)


def _write_prompt(script: _Script, enable_thinking: bool | None) -> None:
    """The head of the assistant's turn; an empty thought when thinking is off, an open one when it is on."""
    script.mark(MESSAGE_START)
    script.say("assistant\n")
    if enable_thinking is not None:
        script.mark("<think>")
        script.say("\n")
    if enable_thinking is False:
        script.say("\n")
        script.mark("</think>")
        script.say("\n\n")


def _content(message: Message, where: str) -> str:
    content = message.get("content")
    if not isinstance(content, str):
        raise UserError(f"content of {where} is {type(content).__name__}, not a string")
    return content


def _call(call: Any, where: str) -> tuple[str, str]:
    """Name and arguments (as JSON) of a tool call, flat or in the wrapper of the OpenAI protocol."""
    call = call.get("function", call) if isinstance(call, dict) else call
    name = call.get("name") if isinstance(call, dict) else None
    if not isinstance(name, str) or "arguments" not in call:
        raise UserError(f'a tool call of {where} is not {{"name": ..., "arguments": ...}}')
    arguments = call["arguments"]
    return name, arguments if isinstance(arguments, str) else _json(arguments)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _json_list(value: Any, what: str) -> list[Any]:
    """A list given as such or as JSON text; nothing is an empty list."""
    if isinstance(value, str) and value.strip():
        try:
            value = json.loads(value)
        except ValueError as error:
            raise UserError(f"{what} cannot be read as JSON: {error}") from error
    if not value or isinstance(value, str):
        return []
    if not isinstance(value, list | tuple):
        raise UserError(f"{what} is {type(value).__name__}, not a list")
    return list(value)
