"""What `chat` and `eval` share: one conversation with a model, written out as it comes."""

import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from minimind.config import UserError

if TYPE_CHECKING:
    from minimind.bundle import Bundle
    from minimind.infer.text import TextStream


@dataclass
class Conversation:
    """Messages so far, and how the next one is answered.

    history: messages before the question that are sent along, None for all that fit. sampling: fields of
    `ops.sampling.Sampling`. Each answer gets its own seed, made from `seed` and the number of the answer.
    """

    bundle: "Bundle"
    sampling: dict[str, Any]
    system: str = ""
    history: int | None = None
    thinking: bool | None = None
    show_speed: bool = True
    seed: int = field(default_factory=lambda: secrets.randbits(32))
    messages: list[dict] = field(default_factory=list)
    answers: int = 0

    def prompt(self, question: str) -> list[dict]:
        """What the model is given for a question: system message, the kept history, the question."""
        kept = self.messages if self.history is None else self.messages[max(0, len(self.messages) - self.history) :]
        head = [{"role": "system", "content": self.system}] if self.system else []
        return [*head, *kept, {"role": "user", "content": question}]

    def ask(self, question: str, out: TextIO) -> "TextStream":
        """Streams the answer to `out` and remembers both. Ctrl-C ends the answer; what was said by then counts."""
        given = question if self.bundle.only_pretrained else self.prompt(question)
        seed = self.seed + 1_000_003 * self.answers
        stream = self.bundle.stream(given, enable_thinking=self.thinking, **self.sampling, seed=seed)
        self.answers += 1
        if stream.dropped:
            print(f"(left out the {stream.dropped} oldest messages: they no longer fit the model's window)", file=out)
        try:
            for piece in stream:
                out.write(piece)
                out.flush()
        except KeyboardInterrupt:
            out.write(" (stopped)")
        out.write("\n")
        if self.show_speed:
            print(f"[{len(stream.ids)} tokens, {stream.tokens_per_second:.1f} tokens/s]", file=out)
        out.flush()
        if not self.bundle.only_pretrained:
            answer = {"role": "assistant", "content": stream.text}
            self.messages += [{"role": "user", "content": question}, answer]
        return stream


def check_sampling(values: dict[str, Any]) -> dict[str, Any]:
    """The same values. Raises UserError for one that no sampling can have."""
    from minimind.ops.sampling import Sampling

    try:
        Sampling(**values)
    except ValueError as error:
        raise UserError(str(error)) from error
    return values


def open_bundle(config: Any, path: Path, inference_rope_scaling: bool = False) -> "Bundle":
    """Weights with the adapter, tokenizer and device of the flags; says on the error stream what had to be assumed."""
    from minimind.bundle import find_adapter, load, merge_adapter
    from minimind.runtime.device import resolve_device

    try:
        device = resolve_device(config.device)
    except ValueError as error:
        raise UserError(str(error)) from error
    bundle = load(path, device, tokenizer=config.tokenizer or None, inference_rope_scaling=inference_rope_scaling)
    if config.lora_weight.lower() not in ("", "none"):
        shape = bundle.model.config
        adapter = find_adapter(config.lora_weight, config.save_dir, shape.hidden_size, shape.use_moe)
        merge_adapter(bundle.model, adapter)
    for note in bundle.notes:
        print(f"note: {note}", file=sys.stderr)
    return bundle


def describe(bundle: "Bundle") -> str:
    """One line on who is talking."""
    count = sum(parameter.numel() for parameter in bundle.model.parameters())
    return f"{bundle.path} ({count / 1e6:.1f} M parameters, {bundle.stage})"


def sizes_agree(bundle: "Bundle", given: Sequence[tuple[str, Any]]) -> None:
    """Raises UserError when a size that the user gave is not that of the weights; None was not given."""
    config = bundle.model.config
    wrong = [
        f"--{name} {value} (theirs: {getattr(config, name)})"
        for name, value in given
        if value is not None and getattr(config, name) != value
    ]
    if wrong:
        raise UserError(f"the weights {bundle.path} have other sizes: {', '.join(wrong)}; leave these flags out")
