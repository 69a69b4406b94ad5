"""Which rule moves which parameter, behind one object with one step."""

import torch

from minimind.optim.muon import Muon


class Optimizer:
    """One or two torch optimizers that step together and share a learning-rate factor.

    rule "adamw": AdamW (Loshchilov and Hutter, arXiv 1711.05101) on everything; matrices decay, vectors do not.
    rule "muon": Muon on the matrices of the layers, AdamW on embeddings, norms and routers (rows there are looked up
    one by one, so they have no common directions to balance).
    """

    def __init__(
        self,
        model: torch.nn.Module,
        rule: str = "adamw",
        learning_rate: float = 5e-4,
        matrix_learning_rate: float = 0.02,
        weight_decay: float = 0.01,
        betas: tuple[float, float] = (0.9, 0.999),
        momentum: float = 0.95,
    ):
        named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        if not named:
            raise ValueError("there is nothing to train: every parameter of the model is frozen.")
        with_muon = [p for name, p in named if rule == "muon" and moves_by_muon(name, p)]
        by_muon = {id(p) for p in with_muon}
        others = [p for _, p in named if id(p) not in by_muon]
        groups = [
            {"params": [p for p in others if p.ndim >= 2], "weight_decay": weight_decay},
            {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        self.parts: list[torch.optim.Optimizer] = []
        if groups:
            self.parts.append(torch.optim.AdamW(groups, lr=learning_rate, betas=betas, fused=fuses(others[0])))
        if with_muon:
            self.parts.append(Muon(with_muon, matrix_learning_rate, momentum, weight_decay))
        for part in self.parts:
            for group in part.param_groups:
                group["base_lr"] = group["lr"]
        self.parameters = [parameter for _, parameter in named]

    @property
    def learning_rate(self) -> float:
        """The current rate of the first group."""
        return self.parts[0].param_groups[0]["lr"]

    def scale(self, factor: float) -> None:
        """Sets every group's learning rate to `factor` times its base."""
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = group["base_lr"] * factor

    def step(self) -> None:
        for part in self.parts:
            part.step()

    def zero_grad(self) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> dict:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state: dict) -> None:
        """Takes over what was gathered from the gradients; rates, decays and other settings stay as they are here."""
        for part, saved in zip(self.parts, state["parts"], strict=True):
            own = [{name: value for name, value in group.items() if name != "params"} for group in part.param_groups]
            part.load_state_dict(saved)
            for group, settings in zip(part.param_groups, own, strict=True):
                group.update(settings)


def moves_by_muon(name: str, parameter: torch.Tensor) -> bool:
    """Matrices inside the layers; not embeddings, heads or routers."""
    last = name.rpartition(".")[0]
    return parameter.ndim == 2 and not last.endswith(("embed_tokens", "lm_head", "mlp.gate", "score", "value_head"))


def fuses(parameter: torch.Tensor) -> bool:
    """Whether torch's one-kernel AdamW runs for this parameter."""
    return parameter.device.type in ("cpu", "cuda") and parameter.dtype == torch.float32
