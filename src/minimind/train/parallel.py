"""Gradients of all ranks, added up once a step.

The model is not wrapped: each rank computes the gradient of its part of the loss sum, already divided by the number of
supervised tokens of the whole step over all ranks, and the parts are added. So the update is that of one big batch,
there is no second object to call by mistake, and a rank whose part has no supervised token simply adds zeros.
"""

import torch

from minimind.runtime.ranks import Ranks


def sum_gradients(parameters: list[torch.nn.Parameter], ranks: Ranks, extra: torch.Tensor) -> torch.Tensor:
    """Replaces every gradient by its sum over the ranks, and returns `extra` (a small fp32 vector) summed as well.

    One exchange for each number format. A parameter without a gradient here may have one elsewhere (an expert no token
    chose), so it takes part with zeros.
    """
    if ranks.world_size == 1:
        return extra
    for dtype in sorted({parameter.dtype for parameter in parameters}, key=str):
        group = [parameter for parameter in parameters if parameter.dtype == dtype]
        for parameter in group:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = ranks.sum(torch.cat([parameter.grad.reshape(-1) for parameter in group]))
        pieces = flat.split([parameter.numel() for parameter in group])
        for parameter, piece in zip(group, pieces, strict=True):
            parameter.grad.copy_(piece.view_as(parameter))
    return ranks.sum(extra)


def same_everywhere(module: torch.nn.Module, ranks: Ranks) -> None:
    """Gives every rank rank 0's parameters and buffers."""
    if ranks.world_size > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            torch.distributed.broadcast(tensor.data, src=0)
