"""Dialogues: exact ids and masks, nothing typed becomes control, and the same ids in transformers."""

import json

import pytest
from transformers import AutoTokenizer

from minimind.config import UserError
from minimind.tokenizer import Rendered, Tokenizer
from minimind.tokenizer.chat import template

TOOL = {"name": "weather", "description": "天气", "parameters": {"type": "object", "properties": {"city": {}}}}
CALL = {"name": "weather", "arguments": {"city": "北京"}}

USER = {"role": "user", "content": "What's 1 + 2?\nThink."}
ANSWER = {"role": "assistant", "content": "It is 3."}
DIALOGUES = {
    "single": ([USER, ANSWER], None),
    "system": ([{"role": "system", "content": "你是老师。"}, USER, ANSWER], None),
    "multi-turn": (
        [USER, ANSWER, {"role": "user", "content": "  indented\n\ncode\n"}, {"role": "assistant", "content": "好"}],
        None,
    ),
    "late system": ([USER, ANSWER, {"role": "system", "content": "Be brief."}, USER, ANSWER], None),
    "reasoning": ([USER, {**ANSWER, "reasoning_content": "1 + 2 = 3\n\nso 3"}], None),
    "empty reasoning": ([USER, {**ANSWER, "reasoning_content": ""}], None),
    "tags in content": ([USER, {"role": "assistant", "content": "<think>\na\n</think>\n<answer>\n3\n</answer>"}], None),
    "tools": ([USER, ANSWER], [TOOL]),
    "tools and system": (
        [{"role": "system", "content": "S"}, USER, ANSWER],
        [TOOL, {"type": "function", "function": TOOL}],
    ),
    "calls": (
        [
            USER,
            {"role": "assistant", "content": "", "tool_calls": [CALL, {"type": "function", "function": CALL}]},
            {"role": "tool", "content": "晴"},
            {"role": "tool", "content": '{"t": 20}'},
            {"role": "assistant", "content": "晴，20 度。", "tool_calls": [{"name": "f", "arguments": '{"a":1}'}]},
            {"role": "tool", "content": "ok"},
            {"role": "assistant", "content": "Done.", "reasoning_content": "both"},
        ],
        [TOOL],
    ),
    "call without words": ([USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}], [TOOL]),
}


def said(tokenizer: Tokenizer, rendered: Rendered) -> list[str]:
    """The runs that the mask says are the assistant's, decoded."""
    runs: list[list[int]] = []
    before = False
    for token, mine in zip(rendered.ids, rendered.mask, strict=True):
        if mine:
            runs = runs if before else [*runs, []]
            runs[-1].append(token)
        before = mine
    return [tokenizer.decode(run) for run in runs]


GOLDEN = {
    "single": ["It is 3.<|im_end|>"],
    "system": ["It is 3.<|im_end|>"],
    "multi-turn": ["It is 3.<|im_end|>", "好<|im_end|>"],
    "reasoning": ["<think>\n1 + 2 = 3\n\nso 3\n</think>\n\nIt is 3.<|im_end|>"],
    "empty reasoning": ["<think>\n\n</think>\n\nIt is 3.<|im_end|>"],
    "tags in content": ["<think>\na\n</think>\n<answer>\n3\n</answer><|im_end|>"],
    "tools": ["It is 3.<|im_end|>"],
    "calls": [
        '<tool_call>\n{"name": "weather", "arguments": {"city": "北京"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "weather", "arguments": {"city": "北京"}}\n</tool_call><|im_end|>',
        '晴，20 度。\n<tool_call>\n{"name": "f", "arguments": {"a":1}}\n</tool_call><|im_end|>',
        "<think>\nboth\n</think>\n\nDone.<|im_end|>",
    ],
    "call without words": ['<tool_call>\n{"name": "weather", "arguments": {"city": "北京"}}\n</tool_call><|im_end|>'],
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_mask_is_exactly_what_the_assistant_said(default: Tokenizer, public_style: Tokenizer, name: str):
    messages, tools = DIALOGUES[name]
    for tokenizer in (default, public_style):
        assert said(tokenizer, tokenizer.render(messages, tools)) == GOLDEN[name]


def test_the_whole_text_of_a_dialogue(default: Tokenizer):
    messages, tools = DIALOGUES["tools and system"]
    messages = [*messages, {"role": "tool", "content": "a"}, {"role": "tool", "content": "b"}]
    line = json.dumps(TOOL, ensure_ascii=False)
    assert default.decode(default.render(messages, tools, add_generation_prompt=True).ids) == (
        f"<|im_start|>system\nS\n\n# Tools\n{line}\n{line}\n\nTo use one, write:\n"
        '<tool_call>\n{"name": "...", "arguments": {...}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\nWhat's 1 + 2?\nThink.<|im_end|>\n<|im_start|>assistant\nIt is 3.<|im_end|>\n"
        "<|im_start|>user\n<tool_response>\na\n</tool_response>\n<tool_response>\nb\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_reserved_ids_are_made_by_the_renderer_alone(default: Tokenizer):
    """Every reserved name typed by everybody: only the assistant's own six tags count, and only in its content."""
    everything = "".join(name for name in default._reserved)
    messages = [
        {"role": "system", "content": everything},
        {"role": "user", "content": everything},
        {
            "role": "assistant",
            "content": everything,
            "reasoning_content": everything,
            "tool_calls": [{"name": "f", "arguments": {"x": everything}}],
        },
        {"role": "tool", "content": everything},
    ]
    found = [token for token in default.render(messages, [{"name": everything}]).ids if token < 36]
    system, user = [1, 21, 22, 2], [1, 2]
    assistant = [1, 25, 26, 21, 22, 25, 26, 27, 28, 21, 22, 2]  # thought; tags in order of their ids; call
    tool = [1, 23, 24, 2]
    assert found == system + user + assistant + tool


def test_a_dialogue_begins_as_its_first_messages_do(default: Tokenizer):
    """So a chat can be extended without rendering it anew, and a prompt has the ids of training."""
    messages, tools = DIALOGUES["multi-turn"]
    whole = default.render(messages, tools).ids
    for count in range(1, len(messages)):
        part = default.render(messages[:count], tools, add_generation_prompt=messages[count]["role"] == "assistant").ids
        assert whole[: len(part)] == part


@pytest.mark.parametrize("thinking, begin", [(None, ""), (False, ""), (True, "so")])
def test_the_prompt_has_the_ids_of_training(default: Tokenizer, thinking: bool | None, begin: str):
    reply = {"role": "assistant", "content": "Three\n\nlines"} | (
        {} if thinking is None else {"reasoning_content": begin}
    )
    whole = default.render([USER, reply]).ids
    prompt = default.render([USER], add_generation_prompt=True, enable_thinking=thinking)
    assert whole[: len(prompt.ids)] == prompt.ids
    assert not any(prompt.mask)


@pytest.fixture(scope="module")
def pair(default: Tokenizer, public_style: Tokenizer, tmp_path_factory: pytest.TempPathFactory):
    """Our tokenizers and what transformers makes of them."""
    folders = [tmp_path_factory.mktemp(name) for name in ("own", "public")]
    for tokenizer, folder in zip((default, public_style), folders, strict=True):
        tokenizer.save(folder)
    return [
        (ours, AutoTokenizer.from_pretrained(folder))
        for ours, folder in zip((default, public_style), folders, strict=True)
    ]


@pytest.mark.parametrize("name", DIALOGUES)
def test_transformers_gives_the_same_ids(pair, name: str):
    messages, tools = DIALOGUES[name]
    for ours, theirs in pair:
        text = theirs.apply_chat_template(messages, tools=tools, tokenize=False)
        assert theirs(text, add_special_tokens=False)["input_ids"] == ours.render(messages, tools).ids
        assert theirs.decode(ours.encode("你好 , world"), clean_up_tokenization_spaces=False) == "你好 , world"


@pytest.mark.parametrize("thinking", [None, False, True])
def test_transformers_gives_the_same_prompt(pair, thinking: bool | None):
    extra = {} if thinking is None else {"enable_thinking": thinking}
    for ours, theirs in pair:
        text = theirs.apply_chat_template([USER], add_generation_prompt=True, tokenize=False, **extra)
        ids = ours.render([USER], add_generation_prompt=True, enable_thinking=thinking).ids
        assert theirs(text, add_special_tokens=False)["input_ids"] == ids


def test_transformers_knows_the_control_tokens(pair):
    for ours, theirs in pair:
        assert (theirs.pad_token_id, theirs.bos_token_id, theirs.eos_token_id) == (0, 1, 2)
        assert len(theirs) == ours.vocab_size
        assert theirs.chat_template == template()


def test_tools_may_stand_on_the_first_message_and_be_json(default: Tokenizer):
    expected = default.render([{"role": "system", "content": "S"}, USER], [TOOL])
    system = {"role": "system", "content": "S", "tools": json.dumps([TOOL])}
    assert default.render([system, USER]) == expected
    calls = {"role": "assistant", "content": "", "tool_calls": json.dumps([CALL])}
    assert default.render([USER, calls]) == default.render([USER, {**calls, "tool_calls": [CALL]}])


@pytest.mark.parametrize(
    "message, complaint",
    [
        ({"role": "robot", "content": "x"}, "message 0 has the role 'robot'"),
        ({"role": "user", "content": None}, r"content of message 0 \(user\) is NoneType"),
        ({"role": "assistant", "content": None}, r"content of message 0 \(assistant\) is NoneType"),
        ({"role": "assistant", "content": "", "reasoning_content": 3}, "reasoning_content of message 0"),
        ({"role": "assistant", "content": "", "tool_calls": "[{"}, "cannot be read as JSON"),
        ({"role": "assistant", "content": "", "tool_calls": {"name": "f"}}, "is dict, not a list"),
        ({"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]}, "a tool call of message 0"),
        ({"role": "system", "content": "", "tools": "not json"}, "tools cannot be read as JSON"),
    ],
)
def test_what_cannot_be_rendered_is_named(default: Tokenizer, message: dict, complaint: str):
    with pytest.raises(UserError, match=complaint):
        default.render([message])
