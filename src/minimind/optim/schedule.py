"""Learning-rate schedules: pure functions from the place in the run to a factor on the learning rate."""

import math


def cosine(step: int, total: int, floor: float = 0.1) -> float:
    """Half a cosine from 1 down to `floor`: floor + (1 - floor) (1 + cos(pi step / total)) / 2."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * step / total))


def warmup_stable_decay(step: int, total: int, decay_share: float = 0.3) -> float:
    """1, then over the last `decay_share` of the run a straight line towards 0 (MiniCPM, arXiv 2404.06395)."""
    decay_steps = max(1, round(total * decay_share))
    return min(1.0, (total - step) / decay_steps)


def constant(step: int, total: int) -> float:
    return 1.0


SCHEDULES = {"cosine": cosine, "wsd": warmup_stable_decay, "constant": constant}


def factor(name: str, step: int, total: int, warmup_steps: int = 0, decay_share: float = 0.3) -> float:
    """The factor for step `step` of `total` (from 0): a linear warm-up times the schedule called `name`."""
    warmup = min(1.0, (step + 1) / (warmup_steps + 1))
    if name == "wsd":
        return warmup * warmup_stable_decay(step, total, decay_share)
    return warmup * SCHEDULES[name](step, total)
