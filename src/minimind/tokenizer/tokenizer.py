"""The tokenizer: byte-level BPE in which plain text can never become a control token.

Two engines share one vocabulary. The saved one knows the reserved names, as the ecosystem expects; the one that encodes
here does not, so `<|im_end|>` typed by a user is ten ordinary characters. Control ids are placed by the chat renderer
alone. Byte-pair encoding: arXiv 1508.07909; the byte-level alphabet is that of GPT-2.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import tokenizers

from minimind.config import UserError
from minimind.tokenizer import chat
from minimind.tokenizer.special import CONTROL_NAMES
from minimind.tokenizer.stream import StreamDecoder, byte_level, piece_bytes

# Tokens; what the public tokenizer of the same layout says, read by transformers only.
MODEL_MAX_LENGTH = 131_072
PACKAGED = ("default", "primer")
ADVICE = "; train one with `minimind tokenizer`, or use the default"


class Tokenizer:
    """Text to ids and back. `load` a saved one or train one with `minimind.tokenizer.train`."""

    def __init__(self, definition: dict[str, Any], source: str = "tokenizer") -> None:
        """`definition`: the content of a tokenizer.json. UserError: not byte-level BPE, or control tokens missing."""
        kinds = [(definition.get(part) or {}).get("type") for part in ("model", "decoder")]
        if kinds != ["BPE", "ByteLevel"]:
            raise UserError(f"{source} is not a byte-level BPE tokenizer{ADVICE}")
        self._definition = {**definition, "padding": None, "truncation": None, "post_processor": None}
        self._reserved = {entry["content"]: entry["id"] for entry in definition["added_tokens"]}
        self._skipped = {entry["id"] for entry in definition["added_tokens"] if entry["special"]}
        plain = {**self._definition, "added_tokens": []}
        self._engine = tokenizers.Tokenizer.from_str(json.dumps(plain))
        self._pieces = self._read_pieces(source)
        for names in CONTROL_NAMES:
            if all(name in self._reserved for name in names):
                self.pad_id, self.bos_id, self.eos_id = (self._reserved[name] for name in names)
                break
        else:
            raise UserError(f"{source} lacks the control tokens {', '.join(CONTROL_NAMES[0])}{ADVICE}")
        self._renderer = chat.Renderer(self.encode_batch, self.token_id, self.bos_id, self.eos_id)

    def _read_pieces(self, source: str) -> list[bytes]:
        """The bytes of each id. Checks that ids have no gap and that no merge builds a reserved name."""
        model = self._definition["model"]
        text_of = {index: piece for piece, index in model["vocab"].items()}
        pieces = {index: piece_bytes(piece) for index, piece in text_of.items()}
        pieces |= {index: name.encode() for name, index in self._reserved.items()}
        if sorted(pieces) != list(range(len(pieces))):
            raise UserError(f"{source} has gaps in its ids{ADVICE}")
        reserved = {byte_level(name) for name in self._reserved}
        for merge in model["merges"]:
            merged = merge.replace(" ", "") if isinstance(merge, str) else "".join(merge)
            if merged in reserved:
                raise UserError(f"{source} can merge plain text into the reserved {merged!r}{ADVICE}")
        return [pieces[index] for index in range(len(pieces))]

    @classmethod
    def load(cls, path: str | Path | None = None) -> "Tokenizer":
        """From a folder, a tokenizer.json, or the package: None or "default" is the one of 6,400 entries, "primer" the
        one of 2,048 for the built-in curriculum.

        UserError: nothing there, or not a tokenizer that can be used.
        """
        if path is None or str(path) in PACKAGED:
            name = str(path or PACKAGED[0])
            text = files("minimind.tokenizer").joinpath(name, "tokenizer.json").read_text(encoding="utf-8")
            return cls(json.loads(text), f"the {name} tokenizer")
        file = Path(path)
        file = file / "tokenizer.json" if file.is_dir() else file
        if not file.is_file():
            raise UserError(f"no tokenizer at {file}; give a folder that holds tokenizer.json")
        try:
            definition = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{file} is not JSON ({error}){ADVICE}") from error
        if not isinstance(definition, dict):
            raise UserError(f"{file} is not a byte-level BPE tokenizer{ADVICE}")
        return cls(definition, str(file))

    def save(self, directory: str | Path) -> None:
        """Writes tokenizer.json and tokenizer_config.json; transformers loads them, chat template included."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        name = {index: content for content, index in self._reserved.items()}
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": name[self.bos_id],
            "eos_token": name[self.eos_id],
            "pad_token": name[self.pad_id],
            "unk_token": name[self.pad_id],
            "clean_up_tokenization_spaces": False,
            "model_max_length": MODEL_MAX_LENGTH,
            "chat_template": chat.template(),
        }
        contents = {"tokenizer.json": self._definition, "tokenizer_config.json": config}
        for file, content in contents.items():
            text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
            (folder / file).write_text(text, encoding="utf-8")

    @property
    def vocab_size(self) -> int:
        """Entries, reserved ones included."""
        return len(self._pieces)

    @property
    def pieces(self) -> Sequence[bytes]:
        """The bytes of every entry, by id."""
        return self._pieces

    @cached_property
    def hash(self) -> str:
        """sha256 of what decides the ids of a text: the same for equal tokenizers, in whatever way they were saved."""
        saved = json.loads(tokenizers.Tokenizer.from_str(json.dumps(self._definition)).to_str())
        model = saved["model"]
        parts = [saved["normalizer"], saved["pre_tokenizer"], model["vocab"], model["merges"], self._reserved]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def token_id(self, name: str) -> int | None:
        """The id of a reserved name such as `<think>`; None where this tokenizer has no such entry."""
        return self._reserved.get(name)

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, none of them reserved. UserError: not a string, or lone surrogates (no valid Unicode)."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, on all cores. UserError: as `encode`, naming the text."""
        try:
            return [found.ids for found in self._engine.encode_batch_fast(texts, add_special_tokens=False)]
        except TypeError:
            for index, text in enumerate(texts):
                _check_text(text, index)
            raise

    def decode(self, ids: Iterable[int], skip_control: bool = False) -> str:
        """Text of ids; bytes that are no valid UTF-8 become U+FFFD.

        `skip_control` drops the structural tokens (ids 0 to 20: end of text, message start and end, ...) and keeps the
        tags that belong to what the assistant says (`<think>`, `<tool_call>`, ...).
        UserError: id outside the vocabulary.
        """
        kept = [token for token in ids if not (skip_control and token in self._skipped)]
        if kept and not (0 <= min(kept) and max(kept) < len(self._pieces)):
            outside = min(kept) if min(kept) < 0 else max(kept)
            raise UserError(f"token id {outside} is outside the vocabulary of {len(self._pieces)} entries")
        return b"".join([self._pieces[token] for token in kept]).decode("utf-8", "replace")

    def stream(self) -> StreamDecoder:
        """A decoder for ids that arrive one at a time."""
        return StreamDecoder(self._pieces)

    def render(
        self,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[Any] | str | None = None,
        add_generation_prompt: bool = False,
        enable_thinking: bool | None = None,
    ) -> chat.Rendered:
        """A dialogue as ids, and which of them the assistant said; see `minimind.tokenizer.chat`."""
        return self._renderer.render(messages, tools, add_generation_prompt, enable_thinking)


def _check_text(text: object, index: int) -> None:
    """Raises the UserError that says why a text cannot be encoded."""
    if not isinstance(text, str):
        raise UserError(f"text {index} is {type(text).__name__}, not a string; nothing else can be tokenized")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"text {index} has a lone surrogate U+{ord(text[error.start]):04X} at character {error.start}, "
            "which is no valid Unicode; repair or drop the text"
        ) from error
