"""What a stage starts from and what it leaves behind: weights, tokenizer and the card that tells their history."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minimind import __version__
from minimind.bundle import find_weights, read_card, tokenizer_of
from minimind.config import UserError
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.model.settings import ModelGroup, new_model
from minimind.model.store import load_strict, load_weights, save_weights
from minimind.runtime.paths import weights_path, write_atomically
from minimind.tokenizer import Tokenizer

NONE = ("", "none")


@dataclass(frozen=True)
class Origin:
    """What a stage starts from. parent: the file of the weights it goes on from, or None for new ones."""

    stage: str
    config: ModelConfig
    tokenizer: Tokenizer
    parent: Path | None
    save_dir: Path

    @property
    def path(self) -> Path:
        """Where the stage's weights will lie."""
        return weights_path(self.save_dir, self.stage, self.config.hidden_size, self.config.use_moe)

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def identity(self) -> dict:
        """What must be the same when a run is resumed."""
        return {
            "model": dataclasses.asdict(self.config),
            "tokenizer": self.tokenizer.hash,
            "from_weight": self.parent and self.parent.name,
        }

    def model(self) -> LanguageModel:
        """The model with the parent's weights, or with new ones from torch's generator."""
        model = LanguageModel(self.config)
        if self.parent is not None:
            load_strict(model, load_weights(self.parent))
        return model


def begin(stage: str, group: ModelGroup, run: Any) -> Origin:
    """Resolves the model flags: sizes and tokenizer of the weights to go on from, or those of a new model.

    Raises UserError when the weights are not there, or when a given size is not theirs.
    """
    save_dir, stage = Path(run.save_dir), run.save_weight or stage
    if group.from_weight in NONE:
        tokenizer = Tokenizer.load(tokenizer_path(group))
        return Origin(stage, new_model(group, tokenizer.vocab_size), tokenizer, None, save_dir)
    parent = find_weights(group.from_weight, save_dir, group.hidden_size, group.use_moe)
    card = read_card(parent)
    if card is None:
        tokenizer = Tokenizer.load(tokenizer_path(group))
        config = new_model(group, tokenizer.vocab_size)
    else:
        config = ModelConfig(**card["model"])
        tokenizer = Tokenizer.load(group.tokenizer_path) if group.tokenizer_path else tokenizer_of(card, parent)
        config = with_sizes(config, group, parent)
    if tokenizer.vocab_size > config.vocab_size:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size} entries, the weights {parent} only {config.vocab_size}; "
            "use the tokenizer that they were trained with."
        )
    return Origin(stage, config, tokenizer, parent, save_dir)


def tokenizer_path(group: ModelGroup) -> str:
    """The tokenizer of a new model: as given, else the primer's own for the primer's architecture, else the default."""
    return group.tokenizer_path or ("primer" if group.architecture == "primer" else "default")


def with_sizes(config: ModelConfig, group: ModelGroup, parent: Path) -> ModelConfig:
    """`config` with the flags that may change between stages. Raises UserError for a size that is not the weights'."""
    changed = {name: value for name, value in group.sizes().items() if getattr(config, name) != value}
    free = {name: value for name, value in changed.items() if name == "dropout"}
    wrong = [
        f"--{name} {value} (theirs: {getattr(config, name)})" for name, value in changed.items() if name not in free
    ]
    if wrong:
        raise UserError(f"the weights {parent} have other sizes: {', '.join(wrong)}. Leave these flags out.")
    return dataclasses.replace(config, **free)


def fingerprint(model: torch.nn.Module) -> str:
    """A hash of the model's weights, to the last bit."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def publisher(origin: Origin, model: torch.nn.Module, card: dict) -> Callable[[dict], None]:
    """A function that writes the weights, their tokenizer and their card; it is called with the run's figures."""
    folder = origin.path.parent / f"tokenizer_{origin.tokenizer.hash[:8]}"

    def publish(metrics: dict) -> None:
        if not (folder / "tokenizer_config.json").exists():  # the last of its files: a killed run may have left half
            origin.tokenizer.save(folder)
        save_weights(model, origin.path, dtype=torch.float32)
        content = {
            "format": 1,
            "stage": origin.stage,
            "model": dataclasses.asdict(origin.config),
            "tokenizer": folder.name,
            "tokenizer_hash": origin.tokenizer.hash,
            "parent": str(origin.parent) if origin.parent else None,
            **card,
            "metrics": metrics,
            "version": __version__,
        }
        write_atomically(origin.path.with_suffix(".json"), json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    return publish
