"""The flags that say which model: an architecture by name, its sizes, or the weights to go on from."""

import dataclasses
from dataclasses import dataclass, field

from minimind.config import flag
from minimind.model.config import ModelConfig
from minimind.model.presets import PRESETS, preset


@dataclass
class ModelGroup:
    """Model"""

    from_weight: str = flag("none", "weights to start from: a stage's name, a file, or none for new ones")
    architecture: str = flag("minimind2-small", "the preset that the sizes below change", choices=tuple(PRESETS))
    hidden_size: int | None = flag(
        None, "width of the model; none: the weights' or the architecture's", "--dim", minimum=1
    )
    num_hidden_layers: int | None = flag(None, "layers", "--n_layers", minimum=1)
    num_attention_heads: int | None = flag(None, "query heads", minimum=1)
    num_key_value_heads: int | None = flag(None, "key/value heads", minimum=1)
    intermediate_size: int | None = flag(None, "width of the feed-forward layer", minimum=1)
    use_moe: bool | None = flag(None, "mixture of experts in place of the feed-forward layer")
    dropout: float | None = flag(None, "share of activations dropped in training", minimum=0, maximum=0.99)
    tokenizer_path: str = flag("", "tokenizer folder, 'default' or 'primer'; empty: the weights' or the architecture's")

    def sizes(self) -> dict:
        """The sizes that were given, by their names in ModelConfig."""
        names = {known.name for known in dataclasses.fields(ModelConfig)}
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name in names}
        return {name: value for name, value in given.items() if value is not None}


def model_group(**defaults):
    """A model group as a field of a stage's config, with the stage's own defaults."""
    return field(default_factory=lambda: ModelGroup(**defaults))


def new_model(group: ModelGroup, vocab_size: int) -> ModelConfig:
    """The configuration of a model made from nothing: the architecture with the given sizes."""
    return preset(group.architecture, **{**group.sizes(), "vocab_size": vocab_size})
