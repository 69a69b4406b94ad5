"""RMSNorm (arXiv 1910.07467): each vector divided by its root mean square, then scaled."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """weight * x / sqrt(mean(x^2) + eps) over the last dimension; half precision is normalised in fp32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps
        self._eps = torch.tensor(eps, dtype=torch.float32, device="cpu")  # made once: that takes as long as using it

    def forward(self, x: Tensor) -> Tensor:
        if x.is_cpu and x.dtype == self.weight.dtype == torch.float32:
            if torch.is_grad_enabled():
                return _RMSNorm.apply(x, self.weight, self._eps)
            return (x * inverse_rms(x, self._eps)).mul_(self.weight)
        # Torch's fused kernels want one type; inside they compute in fp32.
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


def inverse_rms(x: Tensor, eps: Tensor) -> Tensor:
    """1 / sqrt(mean(x^2) + eps) of each vector, [..., 1]."""
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return torch.addcmul(eps, norm, norm, value=1 / x.shape[-1]).rsqrt_()


class _RMSNorm(torch.autograd.Function):
    """For fp32 on CPUs, where torch has no fused kernel: half the time of its formula differentiated step by step."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, eps: Tensor) -> Tensor:
        inverse = inverse_rms(x, eps)
        ctx.save_for_backward(x, weight, inverse)
        return (x * inverse).mul_(weight)

    @staticmethod
    def backward(ctx, upstream: Tensor):
        x, weight, inverse = ctx.saved_tensors
        D = x.shape[-1]
        product = (upstream * x).reshape(-1, D)
        grad_weight = inverse.reshape(-1) @ product
        # y_i = w_i x_i r with r = (mean x^2 + eps)^-1/2, so dr/dx = -r^3 x / D and
        # dL/dx = g w r - x r^3 / D sum_i(g_i w_i x_i)
        pull = (product @ weight).view_as(inverse) * inverse.pow(3).div_(-D)
        return (upstream * weight).mul_(inverse).addcmul_(x, pull), grad_weight, None
