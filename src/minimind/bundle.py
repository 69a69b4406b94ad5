"""From a name or a path to a model that can be used, with its tokenizer and its card."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from minimind.config import UserError, nearest
from minimind.infer.text import TextStream, stream_chat, stream_text
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.model.shapes import config_of_weights
from minimind.model.store import load_strict, load_weights
from minimind.ops.sampling import Sampling
from minimind.tokenizer import Tokenizer

CARD_FORMAT = 1
FILES = (".pth", ".bin", ".safetensors")
# Weights that `newest_weights` does not offer to chat with: they continue text, or judge it.
NOT_FOR_CHAT = ("pretrain", "reward")


@dataclass
class Bundle:
    """A model ready to answer. path: of its weights. card: what its training wrote down, empty where there is none.

    notes: sentences on what had to be assumed, for whoever shows them.
    """

    model: LanguageModel
    tokenizer: Tokenizer
    card: dict
    path: Path
    notes: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        """The stage that made the weights, by the card or else by the file's name."""
        return self.card.get("stage") or re.sub(r"_\d+(_moe)?$", "", self.path.stem)

    @property
    def only_pretrained(self) -> bool:
        """Whether the model continues text and has not learned to answer."""
        return self.stage.startswith("pretrain")

    def stream(
        self,
        text_or_messages: str | Sequence[dict],
        tools: Sequence[Any] | str | None = None,
        enable_thinking: bool | None = None,
        **sampling: Any,
    ) -> TextStream:
        """Pieces of text as they are generated; see `generate`."""
        settings = Sampling(**sampling)
        if isinstance(text_or_messages, str):
            if self.only_pretrained:
                return stream_text(self, text_or_messages, settings)
            text_or_messages = [{"role": "user", "content": text_or_messages}]
        return stream_chat(self, text_or_messages, settings, tools, enable_thinking)

    def generate(
        self,
        text_or_messages: str | Sequence[dict],
        tools: Sequence[Any] | str | None = None,
        enable_thinking: bool | None = None,
        **sampling: Any,
    ) -> str:
        """The answer to messages, or to a text as the user's only message; only pretrained weights continue a text.

        sampling: fields of `ops.sampling.Sampling`, such as temperature=0 for the most probable answer.
        """
        return "".join(self.stream(text_or_messages, tools, enable_thinking, **sampling))


def load(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    *,
    tokenizer: str | Path | None = None,
    adapter: str | Path | None = None,
    inference_rope_scaling: bool = False,
) -> Bundle:
    """Weights with their model and tokenizer, ready to generate.

    path: a file, or a folder in the layout of Hugging Face. dtype: of the weights in memory, float32 if not given.
    tokenizer: a folder or tokenizer.json, in place of the card's. adapter: LoRA weights to merge. Raises UserError
    where something is missing, damaged, or does not fit together.
    """
    path = Path(path)
    state = load_weights(path)
    card = read_card(path)
    notes = []
    if card is None:
        config = config_of_weights(state, _foreign_config(path))
        notes.append(f"{path} has no card: its architecture was read from the shapes of its tensors")
    else:
        config = card_config(card, path)
    if inference_rope_scaling:
        config = replace(config, inference_rope_scaling=True)
    words = _choose_tokenizer(tokenizer, card, path, notes)
    if words.vocab_size > config.vocab_size:
        raise UserError(
            f"the tokenizer has {words.vocab_size} entries, the weights {path} only {config.vocab_size}; "
            "give the tokenizer that they were trained with"
        )
    model = LanguageModel(config)
    try:
        load_strict(model, state)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    if adapter is not None:
        merge_adapter(model, adapter)
    return Bundle(model.to(device, dtype or torch.float32).eval(), words, card or {}, path, tuple(notes))


def find_weights(
    name: str, save_dir: str | Path = "out", hidden_size: int | None = None, use_moe: bool | None = None
) -> Path:
    """The file of weights `name`: a path, or a stage in `save_dir` as {name}_{hidden_size}[_moe].pth.

    Raises UserError when nothing fits, naming what is there, and when several do, naming them.
    """
    if Path(name).exists() and (Path(name).is_dir() or Path(name).suffix in FILES):
        return Path(name)
    if "/" in name or Path(name).suffix in FILES:
        raise UserError(f"there are no weights at {name}")
    found = _weights_in(save_dir)
    fitting = [
        path
        for path, stage, size, moe in found
        if stage == name and hidden_size in (None, size) and use_moe in (None, moe)
    ]
    wanted = f"{name}_{hidden_size or 'SIZE'}{'_moe' if use_moe else ''}.pth"
    if len(fitting) > 1:
        raise UserError(
            f"{name} may mean {', '.join(map(str, fitting))}: say which by --hidden_size and --use_moe, or by its path"
        )
    if not fitting:
        near = nearest(name, {stage for _, stage, _, _ in found})
        there = ", ".join(path.name for path, *_ in found)
        hint = f"there are {there}" if there else "there are no weights yet: train some, or give --save_dir"
        meant = f"; did you mean {near}?" if near and near != name else ""
        raise UserError(f"no weights {wanted} in {save_dir}: {hint}{meant}")
    return fitting[0]


def newest_weights(save_dir: str | Path = "out") -> Path:
    """The weights in `save_dir` that were written last and can chat. Raises UserError when there are none."""
    paths = [path for path, stage, _, _ in _weights_in(save_dir) if not stage.startswith(NOT_FOR_CHAT)]
    if not paths:
        raise UserError(f"no weights that can chat in {save_dir}: train some with minimind speedrun, or give --weight")
    return max(paths, key=lambda path: path.stat().st_mtime_ns)


def find_adapter(name: str, save_dir: str | Path, hidden_size: int, use_moe: bool = False) -> Path:
    """The LoRA weights `name`: a path, or {save_dir}/lora/{name}_{hidden_size}[_moe].pth. UserError if absent."""
    if Path(name).is_file():
        return Path(name)
    path = Path(save_dir) / "lora" / f"{name}_{hidden_size}{'_moe' if use_moe else ''}.pth"
    if not path.is_file():
        there = ", ".join(sorted(found.name for found in path.parent.glob("*.pth"))) or "nothing"
        raise UserError(f"no adapter {path}: the folder holds {there}")
    return path


@torch.no_grad()
def merge_adapter(model: nn.Module, path: str | Path) -> None:
    """Adds B A of every pair `{module}.lora.A.weight` [r, in], `{module}.lora.B.weight` [out, r] to its weight.

    Raises UserError when a half is missing, a module is not in the model, or the shapes do not fit.
    """
    halves = load_weights(path)
    targets = sorted({re.sub(r"\.lora\.[AB]\.weight$", "", name) for name in halves})
    expected = {f"{target}.lora.{half}.weight" for target in targets for half in "AB"}
    if not halves or expected != halves.keys():
        wrong = ", ".join(sorted(expected ^ halves.keys())[:4]) or "no tensors"
        raise UserError(f"{path} is no LoRA adapter with pairs lora.A.weight, lora.B.weight: trouble with {wrong}")
    modules = dict(model.named_modules())
    for target in targets:
        down, up = halves[f"{target}.lora.A.weight"].float(), halves[f"{target}.lora.B.weight"].float()
        weight = getattr(modules.get(target), "weight", None)
        if weight is None:
            raise UserError(f"{path} adapts {target}, which this model does not have")
        if up.shape[1] != down.shape[0] or (up.shape[0], down.shape[1]) != tuple(weight.shape):
            raise UserError(
                f"{path} adapts {target} by {tuple(up.shape)} x {tuple(down.shape)}, but its weight is "
                f"{tuple(weight.shape)}; it was trained on another model"
            )
        weight += (up @ down).to(weight)


def read_card(path: Path) -> dict | None:
    """The card beside weights, None where there is none. Raises UserError for a card that cannot be read."""
    file = path / "card.json" if path.is_dir() else path.with_suffix(".json")
    if not file.is_file():
        return None
    try:
        card = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"the card {file} is not JSON ({error}); remove it, or restore it") from error
    if not isinstance(card, dict) or card.get("format") != CARD_FORMAT or not isinstance(card.get("model"), dict):
        raise UserError(f"{file} is no card of format {CARD_FORMAT} with a model; remove it, or restore it")
    return card


def card_config(card: dict, path: Path) -> ModelConfig:
    """The model's configuration by its card. Raises UserError for fields that no model has."""
    try:
        return ModelConfig(**card["model"])
    except TypeError as error:
        raise UserError(f"the card of {path} describes another kind of model ({error})") from error


def tokenizer_of(card: dict, path: Path) -> Tokenizer:
    """The tokenizer that a card names: "default", or a folder beside the weights. UserError if it has changed."""
    name = card.get("tokenizer", "default")
    tokenizer = Tokenizer.load(None if name == "default" else path.parent / name)
    if tokenizer.hash != card.get("tokenizer_hash", tokenizer.hash):
        raise UserError(
            f"the tokenizer {name} is not the one that {path} was trained with (its hash differs from the card's)"
        )
    return tokenizer


def _choose_tokenizer(given: str | Path | None, card: dict | None, path: Path, notes: list[str]) -> Tokenizer:
    if given is not None:
        return Tokenizer.load(None if str(given) == "default" else given)
    if card is not None:
        return tokenizer_of(card, path)
    folder = path if path.is_dir() else path.parent
    if (folder / "tokenizer.json").is_file():
        return Tokenizer.load(folder)
    notes.append("no tokenizer lies beside it: the default one is used")
    return Tokenizer.load()


def _foreign_config(path: Path) -> dict:
    """config.json of a folder of weights, as Hugging Face writes it; empty for a file."""
    file = path / "config.json"
    return json.loads(file.read_text(encoding="utf-8")) if path.is_dir() and file.is_file() else {}


def _weights_in(save_dir: str | Path) -> list[tuple[Path, str, int, bool]]:
    """(path, stage, hidden size, mixture of experts) of all weights there, by name."""
    found = []
    for path in sorted(Path(save_dir).glob("*.pth")):
        match = re.fullmatch(r"(.+)_(\d+)(_moe)?", path.stem)
        if match and not path.name.startswith("."):
            found.append((path, match[1], int(match[2]), match[3] is not None))
    return found
