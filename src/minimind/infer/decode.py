"""Generation for many prompts at once: a continuous batch over a cache that is allocated once.

The active requests are always the first rows of the cache, so that a step works on views of it: when a request ends,
the last active row takes its place, and waiting prompts are prefilled into the free rows behind. What the steps
produced is kept as tensors and sorted to the requests once, at the end.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from minimind.model.cache import ContiguousCache
from minimind.ops.sampling import Controls, Sampling, draw

PREFILL_TOKENS = 8192  # padded tokens of one prefill at most: bounds its memory
PREFILL_SPREAD = 2.0  # longest prompt over shortest in one prefill at most: bounds its padding
REFILL_SHARE = 8  # prompts are prefilled when an eighth of the rows is free: one by one they would cost a forward each

OnTokens = Callable[[list[int], list[int]], Collection[int] | None]


@dataclass(frozen=True)
class Completion:
    """The answer to one prompt.

    ids: the tokens generated, with the token that ended the answer. logprobs: one per token, under the distribution
    it was drawn from (at temperature 0: the model's own, see `ops.sampling.draw`). finish_reason: "stop",
    "length", "cancelled".
    """

    ids: list[int]
    logprobs: list[float]
    finish_reason: str


def generate(
    model: nn.Module,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling | Sequence[Sampling],
    eos_id: int,
    batch_size: int = 128,
    on_tokens: OnTokens | None = None,
) -> list[Completion]:
    """Continues every prompt (token ids, at least one each); the completions stand in the order of the prompts.

    sampling: one for each prompt, or one for all, where each prompt gets its own seed (`Sampling.fork`). batch_size:
    rows that are computed together at most; it changes the speed and nothing else. on_tokens(requests, ids) is told
    the new token of each request after every step; the requests that it returns are cancelled. Raises ValueError for
    an empty prompt and for logits that are no distribution.
    """
    was_training = model.training
    model.eval()
    try:
        decoder = Decoder(model, prompts, sampling, eos_id, batch_size)
        while not decoder.finished:
            requests, ids = decoder.step()
            if on_tokens is not None:
                decoder.cancel(on_tokens(requests.tolist(), ids.tolist()) or ())
        return decoder.completions()
    finally:
        model.train(was_training)


class Decoder:
    """The state of one batch of requests; `step` draws one token for every active row, or the first one of new rows."""

    def __init__(
        self,
        model: nn.Module,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling | Sequence[Sampling],
        eos_id: int,
        batch_size: int = 128,
    ) -> None:
        if isinstance(sampling, Sampling):
            sampling = [sampling.fork(index) for index in range(len(prompts))]
        assert len(sampling) == len(prompts), f"{len(sampling)} samplings for {len(prompts)} prompts"
        for index, prompt in enumerate(prompts):
            if len(prompt) == 0:
                raise ValueError(
                    f"prompt {index} is empty: a prompt needs at least one token, such as the start of text"
                )
        parameter = next(model.parameters())
        self.model, self.device = model, parameter.device
        self.prompts = [torch.tensor(prompt, dtype=torch.int64) for prompt in prompts]
        self.limits = [len(p) + s.max_new_tokens for p, s in zip(prompts, sampling, strict=True)]
        # Requests of like length decode side by side, because a step attends as far as its longest row.
        self.waiting = sorted(range(len(prompts)), key=lambda index: (len(prompts[index]), index), reverse=True)
        self.controls = Controls(sampling, self.device)
        self.stops = [{eos_id, *request.stop_ids} for request in sampling]
        width = max(map(len, self.stops), default=1)
        self.stop_table = torch.tensor([[*ids, *[eos_id] * (width - len(ids))] for ids in self.stops])
        self.size = min(batch_size, len(prompts))
        self.active = 0
        # What is known of the active rows: their requests and newest tokens; the cache knows their lengths. On the
        # CPU, like those.
        self.request = torch.zeros(self.size, dtype=torch.int64)
        self.token = torch.zeros(self.size, dtype=torch.int64)
        self.limit = torch.zeros(self.size, dtype=torch.int64)
        kind = self.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else parameter.dtype
        self.cache = ContiguousCache(model.config, self.size, max(self.limits, default=1), dtype, self.device)
        penalised = any(request.repetition_penalty != 1 for request in sampling)
        seen_shape = (self.size, model.config.vocab_size)
        self.seen = torch.zeros(seen_shape, dtype=torch.bool, device=self.device) if penalised else None
        self.produced: list[tuple[Tensor, Tensor, Tensor]] = []  # of every step: requests, ids, logprobs, each [n]
        self.cancelled: set[int] = set()

    @property
    def finished(self) -> bool:
        return not (self.active or self.waiting)

    @torch.inference_mode()
    def step(self) -> tuple[Tensor, Tensor]:
        """Draws one token each for some requests: the requests and the tokens, both [n] int64 on the CPU."""
        assert not self.finished
        free = self.size - self.active
        if self.waiting and (free >= min(len(self.waiting), -(-self.size // REFILL_SHARE)) or not self.active):
            rows, hidden = self._prefill(free)
        else:
            rows, hidden = self._advance()
        return self._accept(rows, self.model.lm_head(hidden))

    @torch.inference_mode()
    def cancel(self, requests: Collection[int]) -> None:
        """Ends these requests now; what they have so far becomes their completion."""
        if not requests:
            return
        running = self.request[: self.active]
        self.cancelled |= set(requests) & {*self.waiting, *running.tolist()}
        self.waiting = [index for index in self.waiting if index not in requests]
        self._retire(torch.isin(running, torch.tensor(list(requests))))

    def completions(self) -> list[Completion]:
        """What every request has so far, in the order of the prompts."""
        if not self.produced:
            return [Completion([], [], "cancelled") for _ in self.prompts]
        requests, ids, logprobs = (torch.cat(parts) for parts in zip(*self.produced, strict=True))
        order = requests.argsort(stable=True)
        counts = torch.bincount(requests, minlength=len(self.prompts)).tolist()
        completions = []
        for index, (own, own_logprobs) in enumerate(
            zip(ids[order].split(counts), logprobs[order].split(counts), strict=True)
        ):
            own = own.tolist()
            reason = "stop" if own and own[-1] in self.stops[index] else "length"
            completions.append(
                Completion(own, own_logprobs.tolist(), "cancelled" if index in self.cancelled else reason)
            )
        return completions

    def _prefill(self, free: int) -> tuple[slice, Tensor]:
        """Fills free rows with prompts of like length: the rows and the hidden states [m, D] of their last tokens."""
        chosen = [self.waiting.pop()]
        shortest = len(self.prompts[chosen[0]])
        while self.waiting and len(chosen) < free:
            longest = len(self.prompts[self.waiting[-1]])
            if longest > max(PREFILL_SPREAD * shortest, 16) or longest * (len(chosen) + 1) > PREFILL_TOKENS:
                break
            chosen.append(self.waiting.pop())
        rows = slice(self.active, self.active + len(chosen))
        self.active = rows.stop
        self.request[rows] = torch.tensor(chosen)
        self.limit[rows] = torch.tensor([self.limits[index] for index in chosen])
        lengths = torch.tensor([len(self.prompts[index]) for index in chosen])
        ids = nn.utils.rnn.pad_sequence([self.prompts[index] for index in chosen], batch_first=True)  # m T
        if self.seen is not None:
            real = torch.arange(ids.shape[1]) < lengths[:, None]
            row = torch.arange(rows.start, rows.stop)[:, None].expand_as(ids)
            self.seen[rows] = False
            self.seen[row[real].to(self.device), ids[real].to(self.device)] = True
        # The padding stands to the right of the real tokens: none of them sees it, and decoding writes over it.
        cache = self.cache.part(rows.start, rows.stop)
        cache.truncate(torch.zeros_like(lengths))
        hidden = self.model(ids.to(self.device), cache=cache, logits=False).hidden  # m T D
        cache.truncate(lengths)
        return rows, hidden[torch.arange(len(chosen)), lengths - 1]

    def _advance(self) -> tuple[slice, Tensor]:
        """Feeds every active row its newest token: the rows and their hidden states [n, D]."""
        ids = self.token[: self.active, None].to(self.device)  # n 1
        hidden = self.model(ids, cache=self.cache.rows(self.active), logits=False).hidden  # n 1 D
        return slice(0, self.active), hidden[:, 0]

    def _accept(self, rows: slice, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Draws from logits [n, V], keeps what was drawn and retires the requests that are complete."""
        requests, position = self.request[rows].clone(), self.cache.lengths[rows].clone()
        controls = self.controls.select(requests.to(self.device))
        seen = None if self.seen is None else self.seen[rows]
        ids, logprobs = draw(logits, controls, position.to(self.device), seen)
        if seen is not None:
            seen.scatter_(1, ids[:, None], True)
        ids, logprobs = ids.cpu(), logprobs.cpu()
        self.produced.append((requests, ids, logprobs))
        self.token[rows] = ids
        ended = torch.zeros(self.active, dtype=torch.bool)
        ended[rows] = (ids[:, None] == self.stop_table[requests]).any(1) | (position + 1 >= self.limit[rows])
        self._retire(ended)
        return requests, ids

    def _retire(self, ended: Tensor) -> None:
        """Frees the rows marked in ended [active]: the last rows that go on move into the gaps."""
        kept = self.active - int(ended.sum())
        if kept == self.active:
            return
        gaps = ended[:kept].nonzero().flatten()
        movers = ended[kept:].logical_not().nonzero().flatten() + kept
        for state in (self.request, self.token, self.limit, *([] if self.seen is None else [self.seen])):
            state[gaps.to(state.device)] = state[movers.to(state.device)]
        for source, target in zip(movers.tolist(), gaps.tolist(), strict=True):
            self.cache.copy_row(source, target)
        self.active = kept
