"""Estimators of the divergence KL(policy || reference) from tokens that the policy sampled."""

import torch


def k3(logprobs: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """[N], [N] -> [N] >= 0: exp(r - p) - (r - p) - 1, unbiased, of low variance, never negative.

    Source: John Schulman, "Approximating KL Divergence" (2020), its third estimator.
    """
    difference = reference - logprobs
    return difference.exp() - difference - 1
