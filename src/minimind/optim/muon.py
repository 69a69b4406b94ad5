"""Muon: the momentum of a matrix is replaced by the nearest orthogonal matrix before it is applied.

    M <- mu M + G            momentum
    U  = G + mu M            Nesterov's look ahead
    O  = U (U^T U)^(-1/2)    every singular value of U becomes (nearly) 1: all directions learn at the same rate
    W <- W - lr * sqrt(max(1, rows / columns)) * O

The orthogonal factor is found by five steps of a quintic Newton-Schulz iteration, matrix products only.
Source: Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024); coefficients from there.

Departure: matrices are turned so that they are wide, and those of one size are stacked and orthogonalised together. A
small model has dozens of matrices of a few shapes, and on a CPU the cost of a step is the number of calls.
"""

import torch

COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """[N, R, C] with R <= C -> [N, R, C] with all singular values near 1 (between about 0.7 and 1.2)."""
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # singular values at most 1, where the iteration converges
    for _ in range(steps):
        gram = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)  # b A + c A^2
        x = torch.baddbmm(x, polynomial, x, beta=a)  # a X + (b A + c A^2) X
    return x.to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Muon for 2-D parameters; weight decay is decoupled. A parameter without a gradient is left alone."""

    def __init__(self, params, lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim != 2:
                    raise ValueError(f"Muon moves matrices; got a parameter of shape {tuple(parameter.shape)}.")

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            by_size: dict[tuple, list] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    key = (*sorted(parameter.shape), parameter.dtype, parameter.device)
                    by_size.setdefault(key, []).append(parameter)
            for parameters in by_size.values():
                self._update(parameters, group)

    def _update(self, parameters: list, group: dict) -> None:
        """Moves parameters of one size, some of which may stand and some lie."""
        gradients = [parameter.grad for parameter in parameters]
        momenta = []
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            momenta.append(state["momentum"])
        torch._foreach_mul_(momenta, group["momentum"])
        torch._foreach_add_(momenta, gradients)
        ahead = torch._foreach_add(gradients, momenta, alpha=group["momentum"])
        turned = [matrix.shape[0] > matrix.shape[1] for matrix in ahead]
        wide = [matrix.mT if turn else matrix for matrix, turn in zip(ahead, turned, strict=True)]
        directions = orthogonalise(torch.stack(wide)).unbind()
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        for parameter, direction, turn in zip(parameters, directions, turned, strict=True):
            rows, columns = parameter.shape
            parameter.add_(direction.mT if turn else direction, alpha=-group["lr"] * max(1.0, rows / columns) ** 0.5)
