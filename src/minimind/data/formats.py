"""What a record of each kind must look like, and the one canonical form it is handed on in.

text        {"text": str}
chat        {"conversations": [message, ...]} -> {"conversations", "tools": list | None}
preference  {"chosen": [message, ...], "rejected": [message, ...]}, equal but for the last message -> the same + "tools"
prompt      {"conversations": [...], "answer": str and/or "gt": list} whose last assistant turn is a dummy and dropped,
            or {"question", "answer"}; further keys are kept -> {"conversations", "tools", "answer", "gt", ...}

A message is {"role", "content"} and, where they belong, "reasoning_content" and "tool_calls" (assistant), "tools"
(system; moved to the record), "name" and "tool_call_id". `tools` and `tool_calls` may be lists or JSON strings.
Optional keys that are null or "" count as absent, as table formats write them. Records of the first generations, whose
messages have no role, alternate between user and assistant.
"""

import json
import re
from collections.abc import Callable
from typing import Any

_MESSAGE_KEYS = {"role", "content", "reasoning_content", "tools", "tool_calls", "name", "tool_call_id"}
_ROLES = ("system", "user", "assistant", "tool")
_SURROGATE = re.compile("[\ud800-\udfff]")


class BadRecord(ValueError):
    """A record that cannot be used. reason: its class, for counting; detail: what exactly, for the user."""

    def __init__(self, reason: str, detail: str = ""):
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason, self.detail = reason, detail


def parse(payload: bytes | dict | None, kind: str) -> dict:
    """The canonical form of one raw record. Raises BadRecord."""
    if payload is None:
        raise BadRecord("line over the length cap")
    value = payload if isinstance(payload, dict) else _load(payload)
    if not isinstance(value, dict):
        raise BadRecord("not an object", f"got {_name(value)}")
    return KINDS[kind](value)


def _load(line: bytes) -> Any:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRecord("invalid UTF-8", f"byte {error.start + 1} of the line") from error
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise BadRecord("broken JSON", f"{error.msg} at column {error.colno}") from error
    except RecursionError as error:
        raise BadRecord("broken JSON", "nested too deeply") from error
    except ValueError as error:
        if isinstance(error, BadRecord):
            raise
        raise BadRecord("broken JSON", "a number with too many digits") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise BadRecord("duplicate key", repr(next(key for key in keys if keys.count(key) > 1)))
    return value


def _name(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), "an object")


def _missing(label: str, value: dict) -> str:
    return f"{label}; there is {', '.join(repr(key) for key in list(value)[:5]) or 'nothing'}"


def _string(value: dict, key: str, *, where: str = "", may_be_empty: bool = False) -> str:
    """value[key], which must be a non-blank string of real characters."""
    label = f"{where}{key}"
    if key not in value:
        raise BadRecord("missing key", _missing(label, value))
    text = value[key]
    if not isinstance(text, str):
        raise BadRecord("wrong type", f"{label} should be a string, got {_name(text)}")
    if not may_be_empty and not text.strip():
        raise BadRecord("empty text", label)
    if "\x00" in text:
        raise BadRecord("NUL character", label)
    if not text.isascii() and _SURROGATE.search(text):
        raise BadRecord("lone surrogate", label)
    return text


def _objects(value: Any, label: str) -> list[dict] | None:
    """A list of objects, written out or as a JSON string; None when absent or empty."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = json.loads(_string({label: value}, label))
        except (RecursionError, json.JSONDecodeError) as error:
            raise BadRecord("broken JSON string", label) from error
    if value is None or value == []:
        return None
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise BadRecord("wrong type", f"{label} should be a list of objects")
    _check_characters(value, label)
    return value


def _check_characters(value: Any, label: str) -> None:
    if _SURROGATE.search(json.dumps(value, ensure_ascii=False)):
        raise BadRecord("lone surrogate", label)


def _tool_calls(value: Any, label: str) -> list[dict] | None:
    """The calls as [{"name", "arguments"}]; the wrapped form {"type": "function", "function": {...}} is unwrapped."""
    calls = _objects(value, label)
    if calls is None:
        return None
    unwrapped = []
    for call in calls:
        call = call.get("function", call)
        if not isinstance(call, dict) or not isinstance(call.get("name"), str) or not call["name"]:
            raise BadRecord("tool call without name", label)
        arguments = call.get("arguments", {})
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments)
            except (RecursionError, ValueError) as error:
                raise BadRecord("broken JSON string", f"{label} arguments") from error
        if not isinstance(arguments, dict):
            raise BadRecord("wrong type", f"{label} arguments should be an object")
        unwrapped.append({"name": call["name"], "arguments": arguments})
    _check_characters(unwrapped, label)
    return unwrapped


def _message(value: Any, number: int) -> tuple[dict, list[dict] | None]:
    """One message in canonical form, and the tools it declares."""
    where = f"message {number}: "
    if not isinstance(value, dict):
        raise BadRecord("wrong type", f"{where}should be an object, got {_name(value)}")
    unknown = sorted(set(value) - _MESSAGE_KEYS)
    if unknown:
        raise BadRecord("unknown key", f"{where}{unknown[0]!r}")
    role = _string(value, "role", where=where)
    if role not in _ROLES:
        raise BadRecord("unknown role", f"{where}{role!r}")
    present = {key: entry for key, entry in value.items() if entry is not None and entry != ""}
    if "tools" in present and role != "system":
        raise BadRecord("key on the wrong message", f"{where}tools belong to the system message, not to {role}")
    for key in ("reasoning_content", "tool_calls"):
        if key in present and role != "assistant":
            raise BadRecord("key on the wrong message", f"{where}{key} belongs to the assistant, not to {role}")
    tools = _objects(present.get("tools"), f"{where}tools")
    calls = _tool_calls(present.get("tool_calls"), f"{where}tool_calls")
    if tools or calls:  # these carry the message; its own words may be absent
        content = _string({"content": present.get("content", "")}, "content", where=where, may_be_empty=True)
    else:
        content = _string(value, "content", where=where, may_be_empty=role == "tool")
    message = {"role": role, "content": content}
    if "reasoning_content" in present:
        message["reasoning_content"] = _string(present, "reasoning_content", where=where)
    if calls:
        message["tool_calls"] = calls
    for key in ("name", "tool_call_id"):
        if key in present:
            message[key] = _string(present, key, where=where)
    return message, tools


def _messages(value: dict, key: str, *, drop_reply: bool = False) -> tuple[list[dict], list[dict] | None]:
    """The conversation under `key`, each message checked and the order of roles too; and the tools.

    drop_reply: a last message of the assistant's is dropped unread, so it may be empty.
    """
    if key not in value:
        raise BadRecord("missing key", _missing(key, value))
    if value.get("tools"):
        raise BadRecord("key on the wrong message", "tools belong to the system message, not to the record")
    raw = value[key]
    if not isinstance(raw, list):
        raise BadRecord("wrong type", f"{key} should be a list of messages, got {_name(raw)}")
    if all(isinstance(entry, dict) and entry.get("role") is None for entry in raw):
        raw = [{**entry, "role": ("user", "assistant")[number % 2]} for number, entry in enumerate(raw)]
    if drop_reply and raw and isinstance(raw[-1], dict) and raw[-1].get("role") == "assistant":
        raw = raw[:-1]
    if not raw:
        raise BadRecord("empty conversation", key)
    messages, tools = [], None
    for number, entry in enumerate(raw, start=1):
        message, declared = _message(entry, number)
        messages.append(message)
        tools = declared or tools
    _check_order(messages)
    if messages[0]["role"] == "system" and not messages[0]["content"]:
        messages = messages[1:]  # it only carried the tools
        if not messages:
            raise BadRecord("empty conversation", key)
    return messages, tools


def _check_order(messages: list[dict]) -> None:
    """[system] then user, assistant, user, assistant ...; tool messages only in answer to an assistant's calls."""
    before, called = "start", False
    for number, message in enumerate(messages, start=1):
        role = message["role"]
        allowed = {
            "start": ("system", "user"),
            "system": ("user",),
            "user": ("assistant",),
            "assistant": ("user", "tool"),
            "tool": ("tool", "assistant"),
        }[before]
        if role not in allowed:
            raise BadRecord("wrong role order", f"message {number}: {role} after {before}")
        if role == "tool" and not called:
            raise BadRecord("tool message without a call", f"message {number}")
        if role == "assistant":
            called = "tool_calls" in message or "<tool_call>" in message["content"]
        before = role


def _text(value: dict) -> dict:
    return {"text": _string(value, "text")}


def _chat(value: dict) -> dict:
    messages, tools = _messages(value, "conversations")
    if all(message["role"] != "assistant" for message in messages):
        raise BadRecord("no assistant message")
    if messages[-1]["role"] != "assistant":
        raise BadRecord("wrong role order", f"the last message is {messages[-1]['role']}, not assistant")
    return {"conversations": messages, "tools": tools}


def _preference(value: dict) -> dict:
    (chosen, tools), (rejected, other_tools) = _messages(value, "chosen"), _messages(value, "rejected")
    for key, messages in (("chosen", chosen), ("rejected", rejected)):
        if messages[-1]["role"] != "assistant":
            raise BadRecord("wrong role order", f"{key} ends with {messages[-1]['role']}, not assistant")
    if chosen[:-1] != rejected[:-1] or tools != other_tools:
        raise BadRecord("different prompts", "chosen and rejected must share all but the last message")
    if chosen == rejected:
        raise BadRecord("chosen equals rejected")
    return {"chosen": chosen, "rejected": rejected, "tools": tools}


def _prompt(value: dict) -> dict:
    extra = {key: entry for key, entry in value.items() if key not in ("question", "conversations")}
    if "conversations" in value:
        messages, tools = _messages(value, "conversations", drop_reply=True)
        if messages[-1]["role"] not in ("user", "tool"):
            raise BadRecord("wrong role order", f"a prompt cannot end with {messages[-1]['role']}")
    else:
        messages, tools = [{"role": "user", "content": _string(value, "question")}], None
    truths = value.get("gt")
    if truths is not None and not isinstance(truths, list):
        raise BadRecord("wrong type", f"gt should be a list, got {_name(truths)}")
    has_answer = value.get("answer") is not None or not truths
    answer = _string(value, "answer") if has_answer else None
    return {**extra, "conversations": messages, "tools": tools, "answer": answer, "gt": truths}


KINDS: dict[str, Callable[[dict], dict]] = {"text": _text, "chat": _chat, "preference": _preference, "prompt": _prompt}
