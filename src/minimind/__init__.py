"""MiniMind: train a small language model from nothing, examine it, talk to it.

The names below are imported on use, so that `import minimind` is quick and loads no torch.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "load": "minimind.bundle",
    "LanguageModel": "minimind.model.language_model",
    "ModelConfig": "minimind.model.config",
    "Tokenizer": "minimind.tokenizer.tokenizer",
}
__all__ = ["LanguageModel", "ModelConfig", "Tokenizer", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'minimind' has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
