"""`minimind count`: how large a model is and how much work a token costs, from its configuration alone."""

import json
from dataclasses import dataclass, field

from minimind.config import flag, parse
from minimind.model.config import ModelConfig
from minimind.model.count import summary
from minimind.model.presets import PRESETS, preset


@dataclass
class Config:
    json: bool = flag(False, "print one JSON object and nothing else")
    sequence_length: int = flag(512, "tokens of context that the attention's work is counted for", minimum=1)
    model: ModelConfig = field(default_factory=ModelConfig)


def main(argv: list[str]) -> int:
    chosen: list[str] = []

    def start(name: str) -> Config:
        chosen.append(name)
        return Config(model=preset(name))

    config = parse(
        Config(),
        argv,
        command="minimind count",
        description="Counts parameters (a tied embedding once), those active for a token, floating-point operations "
        "per token of a forward pass (training takes three times as many) and bytes of the weights in half precision. "
        f"Without a preset or size flags it shows every preset: {', '.join(PRESETS)}.",
        examples="minimind count\nminimind count --preset minimind2-moe --json\n"
        "minimind count --hidden_size 768 --num_hidden_layers 16",
        preset=start,
    )
    if config.json:
        print(json.dumps(summary(config.model, config.sequence_length)))
    elif chosen or config.model != ModelConfig():
        _print_table({chosen[-1] if chosen else "this model": config.model}, config.sequence_length)
    else:
        _print_table(PRESETS, config.sequence_length)
    return 0


def _print_table(models: dict[str, ModelConfig], sequence_length: int) -> None:
    print(f"{'model':<18}{'parameters':>14}{'active':>14}{'MFLOP/token':>14}{'MB of weights':>15}")
    for name, model in models.items():
        numbers = summary(model, sequence_length)
        print(
            f"{name:<18}{numbers['parameters']:>14,}{numbers['active_parameters']:>14,}"
            f"{numbers['flops_per_token'] / 1e6:>14,.1f}{numbers['bytes'] / 1e6:>15,.1f}"
        )
    print(f"MFLOP/token: one forward pass over {sequence_length} tokens; training takes three times as much")
