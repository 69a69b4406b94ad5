"""How much better a sampled reply was than could be expected."""

import torch


def group_advantages(rewards: torch.Tensor, by_deviation: bool = True, epsilon: float = 1e-4) -> torch.Tensor:
    """[P, G] rewards of G replies to each of P prompts -> [P, G]: (r - mean) / (std + epsilon) within each prompt.

    by_deviation False leaves the division out (Dr. GRPO, arXiv 2503.20783): a prompt whose replies nearly all agree
    does not get a larger say. A prompt whose replies all scored the same has advantage 0 and teaches nothing.
    The deviation is the biased one (divided by G), as in GRPO (arXiv 2402.03300).
    """
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    if not by_deviation:
        return centred
    return centred / (rewards.std(dim=1, keepdim=True, unbiased=False) + epsilon)
