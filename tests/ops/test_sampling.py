"""Sampling against distributions computed by hand, and noise against what uniform independent noise must do."""

import math

import pytest
import torch

from minimind.ops.sampling import Controls, Sampling, distribution, draw, pick, uniform

NONE = -math.inf


def probabilities(weights, **settings):
    return distribution(torch.tensor([weights], dtype=torch.float64).log(), Sampling(**settings)).exp()[0]


def equals(given, expected):
    torch.testing.assert_close(given, torch.tensor(expected, dtype=torch.float32), atol=1e-6, rtol=1e-5)


def test_plain_distribution_is_softmax():
    equals(probabilities([0.5, 0.3, 0.2]), [0.5, 0.3, 0.2])


def test_temperature_raises_probabilities_to_a_power():
    """p^(1/T), renormalised: T = 0.5 squares them, 0.25 + 0.09 + 0.04 = 0.38."""
    equals(probabilities([0.5, 0.3, 0.2], temperature=0.5), [0.25 / 0.38, 0.09 / 0.38, 0.04 / 0.38])


def test_filters_by_hand():
    weights = [0.1, 0.4, 0.2, 0.3]
    equals(probabilities(weights, top_k=2), [0, 4 / 7, 0, 3 / 7])
    equals(probabilities(weights, top_k=9), weights)
    equals(probabilities(weights, top_p=0.65), [0, 4 / 7, 0, 3 / 7])  # 0.4 falls short, 0.4 + 0.3 reaches it
    equals(probabilities(weights, top_p=0.75), [0, 4 / 9, 2 / 9, 3 / 9])
    equals(probabilities(weights, top_p=0.3), [0, 1, 0, 0])  # less than the best alone
    equals(probabilities(weights, min_p=0.6), [0, 4 / 7, 0, 3 / 7])  # 0.2 < 0.6 * 0.4 < 0.3
    # top_p looks at what top_k kept: 4/7 = 0.571 reaches 0.55 there, while 0.4 of all would not.
    equals(probabilities(weights, top_k=2, top_p=0.55), [0, 1, 0, 0])


def test_equal_logits_stand_or_fall_together():
    equals(probabilities([0.25] * 4, top_k=1), [0.25] * 4)
    equals(probabilities([0.25] * 4, top_p=0.1), [0.25] * 4)
    equals(probabilities([0.25] * 4, temperature=0), [1, 0, 0, 0])


def test_repetition_penalty_by_hand():
    """Seen: 2 / 2 = 1 and -1 * 2 = -2; the others stay."""
    logits = torch.tensor([[2.0, 2.0, -1.0, -1.0]])
    seen = torch.tensor([[True, False, True, False]])
    given = distribution(logits, Sampling(repetition_penalty=2.0), seen)
    torch.testing.assert_close(given, torch.tensor([[1.0, 2.0, -2.0, -1.0]]).log_softmax(-1))


@pytest.mark.parametrize("temperature", [0, 1e-45, 1e-6])
def test_temperature_towards_zero_is_greedy(temperature):
    logits = torch.tensor([[1.0, 3.0, 2.0, -50.0], [-1e4, -2e4, 0.0, 1e4]])
    controls = Controls([Sampling(temperature=temperature)] * 2)
    ids, _ = draw(logits, controls, torch.arange(2))
    assert ids.tolist() == [1, 3]
    equals(distribution(logits, controls).exp(), [[0, 1, 0, 0], [0, 0, 0, 1]])


def test_greedy_logprobs_are_those_of_the_model():
    logits = torch.randn(5, 11)
    ids, logprobs = draw(logits, Controls([Sampling(temperature=0)] * 5), torch.arange(5))
    torch.testing.assert_close(logprobs, logits.log_softmax(-1).gather(1, ids[:, None])[:, 0])


def test_mixed_settings_equal_each_alone():
    torch.manual_seed(0)
    settings = [
        Sampling(temperature=0, seed=1),
        Sampling(temperature=0.7, top_k=3, seed=2),
        Sampling(top_p=0.8, seed=3),
        Sampling(temperature=1.3, min_p=0.2, seed=4),
        Sampling(repetition_penalty=1.5, seed=-5),
        Sampling(temperature=0.9, top_k=4, top_p=0.9, min_p=0.1, repetition_penalty=1.2, seed=2**80),
    ]
    logits, seen, position = torch.randn(6, 20) * 2, torch.rand(6, 20) < 0.3, torch.arange(6) * 7
    together = distribution(logits, Controls(settings), seen)
    ids, logprobs = draw(logits, Controls(settings), position, seen)
    for row, setting in enumerate(settings):
        alone = slice(row, row + 1)
        torch.testing.assert_close(together[alone], distribution(logits[alone], setting, seen[alone]))
        own_id, own_logprob = draw(logits[alone], Controls([setting]), position[alone], seen[alone])
        assert own_id.item() == ids[row].item()
        torch.testing.assert_close(own_logprob[0], logprobs[row])
    chosen = Controls(settings).select(torch.tensor([3, 1]))
    torch.testing.assert_close(distribution(logits[[3, 1]], chosen, seen[[3, 1]]), together[[3, 1]])


def test_all_but_one_impossible():
    logits = torch.full((64, 9), NONE)
    logits[:, 4] = -3.0
    ids, logprobs = draw(logits, Controls([Sampling(temperature=0.8, top_p=0.9)] * 64), torch.arange(64))
    assert set(ids.tolist()) == {4} and logprobs.abs().max() == 0


@pytest.mark.parametrize("temperature", [0.0, 1.0, 0.6])
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_no_distribution_is_an_error(temperature, value):
    logits = torch.randn(4, 6)
    logits[2] = NONE if value is None else torch.tensor([1.0, 2.0, value, 0.0, 1.0, 0.5])
    with pytest.raises(ValueError, match=r"rows \[2\].*NaN"):
        draw(logits, Controls([Sampling(temperature=temperature)] * 4), torch.arange(4))


@pytest.mark.parametrize(
    "settings", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}, {"min_p": 2}, {"max_new_tokens": 0}, {"top_k": -1}]
)
def test_impossible_settings_name_themselves(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        Sampling(**settings)


def chi_square(counts, expected):
    return float(((counts - expected) ** 2 / expected).sum())


@pytest.mark.parametrize("settings", [{}, {"temperature": 0.7}, {"top_p": 0.9}, {"top_k": 5, "temperature": 1.4}])
def test_draws_follow_the_distribution(settings):
    """With k possible tokens chi-square has mean k - 1 and deviation sqrt(2 (k - 1)): four deviations are allowed."""
    torch.manual_seed(3)
    logits, draws = torch.randn(1, 12) * 1.5, 100_000
    sampling = Sampling(seed=11, **settings)
    controls = Controls([sampling]).select(torch.zeros(draws, dtype=torch.long))
    ids, logprobs = draw(logits.expand(draws, -1), controls, torch.arange(draws))
    expected = distribution(logits, sampling)[0]
    torch.testing.assert_close(logprobs, expected[ids])
    counts, possible = torch.bincount(ids, minlength=12).double(), expected.isfinite()
    assert counts[~possible].sum() == 0
    freedom, wanted = int(possible.sum()) - 1, expected[possible].double().exp() * draws
    assert chi_square(counts[possible], wanted) < freedom + 4 * math.sqrt(2 * freedom)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_pick_inverts_the_cumulated_distribution(size):
    """Against exact sums in double precision, away from the places where rounding decides; zero is never picked."""
    torch.manual_seed(size)
    weights = torch.rand(500, size) * (torch.rand(500, size) < 0.5)
    weights[:, size // 2] += 0.1
    weights /= weights.sum(-1, keepdim=True)
    noise = torch.rand(500, 1)
    noise[0], noise[1] = 0, 1 - 2**-24
    index = pick(weights, noise)
    assert (weights.gather(1, index) > 0).all()
    exact = weights.double().cumsum(-1)
    expected = torch.searchsorted(exact, noise * exact[:, -1:], right=True).clamp(max=size - 1)
    clear = (exact - noise).abs().amin(-1) > 1e-5
    assert torch.equal(index[clear], expected[clear]) and clear.sum() > 450


def test_noise_is_uniform_over_positions_and_over_seeds():
    """256 equal cells of 200,000 values: chi-square 255 +- 22.6, in whatever direction the plane is walked."""
    count = 200_000
    steps, zeros = torch.arange(count), torch.zeros(count, dtype=torch.long)
    walks = ((zeros, steps), (steps, zeros), (steps, steps), (steps // 512, steps % 512), (-steps, zeros + 9))
    for seed, position in walks:
        noise = uniform(seed, position)
        assert 0 <= noise.min() and noise.max() < 1
        cells = torch.bincount((noise * 256).long(), minlength=256).double()
        assert chi_square(cells, torch.full((256,), count / 256)) < 255 + 4 * 22.6


def test_noise_of_neighbours_is_independent():
    """Pairs (this, next) fill 32 x 32 cells evenly, along positions and along seeds: chi-square 1023 +- 45.2."""
    steps, zeros = torch.arange(300_000), torch.zeros(300_000, dtype=torch.long)
    for this, other in (
        (uniform(zeros, steps), uniform(zeros, steps + 1)),
        (uniform(steps, zeros), uniform(steps + 1, zeros)),
        (uniform(steps, zeros), uniform(steps + 1, zeros - 1)),
    ):
        cells = torch.bincount((this * 32).long() * 32 + (other * 32).long(), minlength=1024).double()
        assert chi_square(cells, torch.full((1024,), 300_000 / 1024)) < 1023 + 4 * 45.2


def test_noise_is_splitmix64():
    """The published sequence of splitmix64, computed with Python's own integers, from the hash of the seed."""
    full = 2**64 - 1

    def mix(bits):
        bits = (bits ^ (bits >> 30)) * 0xBF58476D1CE4E5B9 & full
        bits = (bits ^ (bits >> 27)) * 0x94D049BB133111EB & full
        return bits ^ (bits >> 31)

    # The first outputs for state 1234567 that implementations of splitmix64 agree on.
    state, known = 1234567, [6457827717110365317, 3203168211198807973]
    assert [mix(state + (i + 1) * 0x9E3779B97F4A7C15 & full) for i in range(2)] == known
    for seed, position in ((0, 0), (1, 5), (2**62, 10**9), (-7, 3)):
        bits = mix(mix(seed & full) + (position + 1) * 0x9E3779B97F4A7C15 & full)
        assert uniform(torch.tensor([seed]), torch.tensor([position])).item() == (bits >> 40) / 2**24


def test_forks_have_their_own_noise():
    sampling = Sampling(seed=5, temperature=0.5)
    forks = [sampling.fork(i) for i in range(1000)]
    assert forks[0] == sampling and all(fork.temperature == 0.5 for fork in forks)
    assert len({fork.seed for fork in forks} | {Sampling(seed=6).fork(i).seed for i in range(1000)}) == 2000
