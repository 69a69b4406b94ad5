"""One conversation: from messages to a prompt that fits the model, and from tokens to text as they come."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from minimind.config import UserError
from minimind.infer.decode import Decoder, generate
from minimind.ops.sampling import Sampling
from minimind.tokenizer import Tokenizer

SAMPLE_TOKENS = 64  # of a sample shown during training


class TextStream:
    """The answer to one prompt: iterating over it yields pieces of text, never half a character, until the answer ends.

    Afterwards, or whenever the loop is left: ids (generated, without the end), text, finish_reason ("stop", "length",
    or "cancelled" if the loop was left early), seconds of prefill and of the rest. dropped: messages of the
    conversation that did not fit and were left out.
    """

    def __init__(
        self, model: nn.Module, tokenizer: Tokenizer, prompt: Sequence[int], sampling: Sampling, dropped: int = 0
    ) -> None:
        self.model, self.tokenizer, self.prompt, self.dropped = model, tokenizer, list(prompt), dropped
        self.sampling = with_ends(sampling, tokenizer)
        self.ids: list[int] = []
        self.text = ""
        self.finish_reason = "cancelled"
        self.prefill_seconds = self.decode_seconds = 0.0

    def __iter__(self) -> Iterator[str]:
        started = time.perf_counter()
        text = self.tokenizer.stream()
        decoder = Decoder(self.model.eval(), [self.prompt], self.sampling, self.tokenizer.eos_id)
        ends = decoder.stops[0]
        while not decoder.finished:
            token = int(decoder.step()[1])
            now = time.perf_counter()
            if not self.prefill_seconds:
                self.prefill_seconds = now - started
            self.decode_seconds = now - started - self.prefill_seconds
            piece = ""
            if token not in ends:
                self.ids.append(token)
                piece = text.push(token)
            if decoder.finished:
                self.finish_reason = decoder.completions()[0].finish_reason
                piece += text.flush()
            self.text += piece
            if piece:
                yield piece

    @property
    def tokens_per_second(self) -> float:
        """Speed after the first token, which waits for the prompt."""
        return (len(self.ids) - 1) / self.decode_seconds if len(self.ids) > 1 else 0.0


def with_ends(sampling: Sampling, tokenizer: Tokenizer) -> Sampling:
    """The tokens that no text contains (a new message, the padding) end an answer as the end of message does."""
    return replace(sampling, stop_ids=tuple({*sampling.stop_ids, tokenizer.bos_id, tokenizer.pad_id}))


def stream_chat(
    bundle: Any,
    messages: Sequence[dict],
    sampling: Sampling,
    tools: Sequence[Any] | str | None = None,
    enable_thinking: bool | None = None,
) -> TextStream:
    """The assistant's answer to a conversation; `bundle` has .model and .tokenizer.

    Thinking and tool calls stay in the text, between their tags. The oldest turns are left out where the
    conversation does not fit the model's window, and counted in `.dropped`. Raises UserError when the last turn
    alone does not fit.
    """
    window = bundle.model.config.max_position_embeddings
    # A quarter of the window is kept for an answer that may be long; a short one needs only its own length.
    room = window - min(sampling.max_new_tokens, window // 4)
    prompt, dropped = fit(bundle.tokenizer, messages, room, tools, enable_thinking)
    sampling = replace(sampling, max_new_tokens=min(sampling.max_new_tokens, window - len(prompt)))
    return TextStream(bundle.model, bundle.tokenizer, prompt, sampling, dropped)


def stream_text(bundle: Any, text: str, sampling: Sampling) -> TextStream:
    """The continuation of a text, for models that have only been pretrained: of the start token and the text."""
    prompt = [bundle.tokenizer.bos_id, *bundle.tokenizer.encode(text)]
    room = bundle.model.config.max_position_embeddings - len(prompt)
    if room < 1:
        raise UserError(f"the text has {len(prompt)} tokens, the model's window {room + len(prompt)}; shorten the text")
    sampling = replace(sampling, max_new_tokens=min(sampling.max_new_tokens, room))
    return TextStream(bundle.model, bundle.tokenizer, prompt, sampling)


def fit(
    tokenizer: Tokenizer,
    messages: Sequence[dict],
    room: int,
    tools: Sequence[Any] | str | None = None,
    enable_thinking: bool | None = None,
) -> tuple[list[int], int]:
    """(prompt ids of at most `room` tokens, messages left out). System messages at the start always stay."""
    if not messages or messages[-1].get("role") not in ("user", "tool"):
        raise UserError("a conversation to be answered must end with a message of the user or of a tool")
    messages = list(messages)
    if tools is None:
        tools = messages[0].get("tools")
    head = next((index for index, message in enumerate(messages) if message.get("role") != "system"), len(messages))
    starts = [index for index, message in enumerate(messages) if index >= head and message.get("role") == "user"]
    for start in sorted({head, *starts}):
        kept = messages[:head] + messages[start:]
        ids = tokenizer.render(kept, tools, add_generation_prompt=True, enable_thinking=enable_thinking).ids
        if len(ids) <= room:
            return ids, start - head
    raise UserError(
        f"the last turn has {len(ids)} tokens with what must stand before it, but only {room} fit; shorten the message"
    )


def show_samples(run: Any, model: nn.Module, tokenizer: Tokenizer, prompts: Sequence[str]) -> None:
    """Says through `run.say` how the model continues each text, greedily."""
    _show(run, model, tokenizer, prompts, [[tokenizer.bos_id, *tokenizer.encode(prompt)] for prompt in prompts])


def show_replies(run: Any, model: nn.Module, tokenizer: Tokenizer, questions: Sequence[str]) -> None:
    """Says through `run.say` how the model answers each question, greedily."""
    conversations = [[{"role": "user", "content": question}] for question in questions]
    prompts = [tokenizer.render(messages, add_generation_prompt=True).ids for messages in conversations]
    _show(run, model, tokenizer, questions, prompts)


def _show(run: Any, model: nn.Module, tokenizer: Tokenizer, titles: Sequence[str], prompts: list[list[int]]) -> None:
    if not run.ranks.first:
        return
    sampling = with_ends(Sampling(temperature=0, max_new_tokens=SAMPLE_TOKENS), tokenizer)
    with run.autocast():
        completions = generate(model, prompts, sampling, tokenizer.eos_id)
    for title, completion in zip(titles, completions, strict=True):
        words = tokenizer.decode(completion.ids, skip_control=True)
        run.say(f"{title} -> {' '.join(words.split())}{'' if completion.finish_reason == 'stop' else ' ...'}")
