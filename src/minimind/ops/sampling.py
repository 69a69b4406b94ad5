"""Choosing the next token: the distribution that is sampled from, and noise that needs no generator.

A draw is a pure function of the request's seed and of the token's position in its sequence. So it does not depend on
which other requests share the batch, and a request that is interrupted goes on exactly as it would have.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15  # 2^64 divided by the golden ratio, the step of splitmix64
BLOCK = 64  # tokens that `pick` sums at once
COLDEST = 1e-30  # a temperature below this divides like this one: float32 has no room for less


@dataclass(frozen=True)
class Sampling:
    """How one request is sampled.

    temperature: divides the logits; 0 takes the most probable token.
    top_k: keep the k largest logits; 0 keeps all.
    top_p: keep the smallest set of most probable tokens whose mass reaches top_p; 1 keeps all (arXiv 1904.09751).
    min_p: keep the tokens at least min_p times as probable as the best; 0 keeps all (arXiv 2407.01082).
    repetition_penalty: divides positive and multiplies negative logits of tokens that are already in the sequence,
        prompt included; 1 changes nothing (arXiv 1909.05858).
    max_new_tokens: the answer's length in tokens at most. stop_ids: tokens that end the answer, beside the model's end.
    seed: any integer.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    max_new_tokens: int = 256
    stop_ids: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self):
        for name, valid, needed in (
            ("temperature", self.temperature >= 0, "at least 0"),
            ("top_k", self.top_k >= 0, "at least 0"),
            ("top_p", 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("min_p", 0 <= self.min_p <= 1, "between 0 and 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0"),
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
        ):
            if not valid:
                raise ValueError(f"{name} must be {needed}, got {getattr(self, name)}")

    def fork(self, index: int) -> "Sampling":
        """The same settings with an independent seed for the request `index`; number 0 keeps its seed."""
        return self if index == 0 else replace(self, seed=_mix_int(_mix_int(self.seed) + index * GOLDEN))


class Controls:
    """The settings of N requests in the shape the arithmetic wants: a number where all agree, else a column [N, 1]."""

    def __init__(self, requests: Sequence[Sampling], device: torch.device | str = "cpu"):
        for field in fields(Sampling)[:5]:
            values = [getattr(request, field.name) for request in requests]
            column = torch.tensor(values, dtype=torch.float32, device=device).unsqueeze(1)
            setattr(self, field.name, values[0] if len(set(values)) == 1 else column)
        self.seed = torch.tensor([_signed(request.seed) for request in requests], dtype=torch.int64, device=device)

    def select(self, index: Tensor) -> "Controls":
        """The settings of the requests `index` [n]."""
        chosen = object.__new__(Controls)
        chosen.__dict__ = {
            name: value[index] if isinstance(value, Tensor) else value for name, value in self.__dict__.items()
        }
        return chosen


def _is(setting: float | Tensor, value: float) -> bool:
    return not isinstance(setting, Tensor) and setting == value


def distribution(logits: Tensor, sampling: Sampling | Controls, seen: Tensor | None = None) -> Tensor:
    """Log-probabilities [N, V] that the next token is really sampled from, for `logits` [N, V]; float32.

    The order is penalty, temperature, top-k, top-p, min-p, each over what the one before kept. `seen` [N, V] bool marks
    the tokens that the repetition penalty applies to. Tokens with equal logits are kept or dropped together, so the
    result never depends on the order of ids. Temperature 0 puts all mass on the first of the largest logits.
    """
    logits = _penalised(logits.float(), sampling.repetition_penalty, seen)
    if _is(sampling.temperature, 0):
        return _point(logits)
    logprobs = _cut(_tempered(logits, sampling.temperature), sampling).log_softmax(-1)
    if isinstance(sampling.temperature, Tensor):
        logprobs = torch.where(sampling.temperature == 0, _point(logits), logprobs)
    return logprobs


def draw(logits: Tensor, controls: Controls, position: Tensor, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The next token of every row and its log-probability, both [N], from `logits` [N, V].

    position [N] int64: the index that the token will have in its sequence. The log-probability is the one under
    `distribution`; for rows at temperature 0, where that is always 0, the one at temperature 1 without filters.
    Raises ValueError if a row holds NaN, plus infinity, or nothing but minus infinity.
    """
    logits = _penalised(logits.float(), controls.repetition_penalty, seen)
    if _is(controls.temperature, 0):
        ids, chosen = _greedy(logits)
    else:
        probabilities = _cut(_tempered(logits, controls.temperature), controls).softmax(-1)
        index = pick(probabilities, uniform(controls.seed, position).unsqueeze(1))
        ids, chosen = index.squeeze(1), probabilities.gather(1, index).squeeze(1).log()
        if isinstance(controls.temperature, Tensor):
            greedy = (controls.temperature == 0).squeeze(1)
            best, best_logprob = _greedy(logits)
            ids, chosen = torch.where(greedy, best, ids), torch.where(greedy, best_logprob, chosen)
    if not bool(chosen.isfinite().all()):
        rows = chosen.isfinite().logical_not().nonzero().flatten().tolist()
        raise ValueError(f"the logits of rows {rows[:8]} are no distribution: NaN, infinity or only -infinity")
    return ids, chosen


def pick(probabilities: Tensor, noise: Tensor) -> Tensor:
    """Index [N, 1] where the cumulated `probabilities` [N, V] pass `noise` [N, 1] in [0, 1).

    Never one of probability 0. First the block of 64 tokens, then the token: summing blocks is several times faster
    than cumulating all of V. Rows with NaN get an arbitrary index.
    """
    rows, size = probabilities.shape
    blocks = F.pad(probabilities, (0, -size % BLOCK)).view(rows, -1, BLOCK)
    block, rest = _pass(blocks.sum(-1), noise)
    inside = blocks.gather(1, block.unsqueeze(-1).expand(-1, -1, BLOCK)).squeeze(1)
    token, _ = _pass(inside, rest)
    return (block * BLOCK + token).clamp_(max=size - 1)


def _pass(weights: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Where the cumulated weights [N, W] pass `share` [N, 1] of their sum: index, and share of its weight left."""
    cumulated = weights.cumsum(-1)
    total = cumulated[:, -1:]
    # Rounding must not lift the threshold to the total: it would pass the end.
    threshold = torch.minimum(share * total, total.nextafter(torch.zeros_like(total)))
    index = torch.searchsorted(cumulated, threshold, right=True).clamp_(max=weights.shape[1] - 1)
    weight = weights.gather(1, index)
    return index, ((threshold - cumulated.gather(1, index) + weight) / weight).clamp_(0, 1)


def uniform(seed: Tensor, position: Tensor) -> Tensor:
    """Noise in [0, 1), [N] float32 in multiples of 2^-24: a pure function of seed and position, both [N] int64.

    Output `position` of the splitmix64 sequence (Steele, Lea and Flood 2014) that starts at the hash of `seed`.
    """
    bits = _mix(_mix(seed) + (position + 1) * _signed(GOLDEN))
    return ((bits >> 40) & 0xFFFFFF).float() * 2.0**-24


def _penalised(logits: Tensor, penalty: float | Tensor, seen: Tensor | None) -> Tensor:
    if seen is None or _is(penalty, 1):
        return logits
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def _tempered(logits: Tensor, temperature: float | Tensor) -> Tensor:
    if _is(temperature, 1):
        return logits
    divisor = temperature.clamp(min=COLDEST) if isinstance(temperature, Tensor) else max(temperature, COLDEST)
    # The largest logit becomes 0, so that no quotient overflows upwards.
    return (logits - logits.amax(-1, keepdim=True)) / divisor


def _point(logits: Tensor) -> Tensor:
    best = logits.argmax(-1, keepdim=True)
    return torch.full_like(logits, -torch.inf).scatter(-1, best, 0.0)


def _greedy(logits: Tensor) -> tuple[Tensor, Tensor]:
    best, ids = logits.max(-1)
    return ids, best - logits.logsumexp(-1)


def _cut(logits: Tensor, sampling: Sampling | Controls) -> Tensor:
    """Puts minus infinity where top-k, top-p and min-p drop a token: each is a lowest logit per row."""
    top_k, top_p, min_p = sampling.top_k, sampling.top_p, sampling.min_p
    if not (_is(top_k, 0) and _is(top_p, 1)):
        size = logits.shape[-1]
        everyone = torch.as_tensor(top_k, device=logits.device)
        # Sorting k logits is enough when every row keeps k at most.
        width = min(int(everyone.max()), size) if bool((everyone > 0).all()) else size
        ordered = logits.topk(width, sorted=True).values
        last = torch.where(everyone > 0, everyone.clamp(max=width), width).long().reshape(-1, 1) - 1
        lowest = ordered.gather(1, last.expand(len(logits), 1))
        if not _is(top_p, 1):
            mass = ordered.masked_fill(ordered < lowest, -torch.inf).softmax(-1)
            before = (mass.cumsum(-1) < top_p).sum(-1, keepdim=True)  # how many do not reach top_p; the next one does
            lowest = torch.maximum(lowest, ordered.gather(1, before.clamp(max=width - 1)))
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    if not _is(min_p, 0):
        scale = torch.as_tensor(min_p, dtype=logits.dtype, device=logits.device)
        logits = logits.masked_fill(logits < logits.amax(-1, keepdim=True) + scale.log(), -torch.inf)
    return logits


def _signed(value: int) -> int:
    """The int64 whose 64 bits are those of `value` modulo 2^64."""
    return (value + 2**63) % 2**64 - 2**63


def _mix(bits: Tensor) -> Tensor:
    """The finaliser of splitmix64 on int64: products wrap around; shifts copy the sign, which the masks undo."""
    bits = (bits ^ ((bits >> 30) & (2**34 - 1))) * _signed(0xBF58476D1CE4E5B9)
    bits = (bits ^ ((bits >> 27) & (2**37 - 1))) * _signed(0x94D049BB133111EB)
    return bits ^ ((bits >> 31) & (2**33 - 1))


def _mix_int(value: int) -> int:
    return int(_mix(torch.tensor(_signed(value))))
