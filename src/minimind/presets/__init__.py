"""Complete configurations as plain functions: `get("full_sft", "primer")`."""

import importlib

from minimind.config import UserError
from minimind.model.presets import PRESETS
from minimind.presets import primer


def get(stage: str, name: str):
    """The configuration of `stage` under the preset `name`: "primer", or an architecture with the stage's defaults.

    Raises UserError naming the nearest preset.
    """
    if name == "primer":
        return getattr(primer, stage)()
    if name not in PRESETS:
        raise UserError(f"there is no preset '{name}'; known are {', '.join(PRESETS)}.")
    config = importlib.import_module(f"minimind.stages.{stage}").Config()
    if not hasattr(config, "model"):
        raise UserError(f"the stage {stage} has no model, so it knows no preset but primer.")
    config.model.architecture = name
    return config
