"""The weights a model starts from."""

from torch import nn


def initialise(model: nn.Module, std: float) -> None:
    """Every matrix from a normal distribution with that standard deviation (torch's generator); gains stay 1."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, mean=0.0, std=std)
