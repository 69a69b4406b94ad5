"""The continuous batch against the plainest generation there is: every token from the whole sequence."""

import pytest
import torch

from minimind.infer.decode import Decoder, generate
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.ops.sampling import Controls, Sampling, distribution, draw

EOS = 2
SHAPE = dict(vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2)


def model_of(**changes):
    torch.manual_seed(0)
    model = LanguageModel(ModelConfig(**{**SHAPE, "max_position_embeddings": 256, **changes})).double().eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(8)  # far from uniform, so that an error of attention changes the tokens
    return model


def prompts_of(count, longest=30):
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, longest, (count,), generator=generator).tolist()
    return [torch.randint(3, 40, (length,), generator=generator).tolist() for length in lengths]


@torch.no_grad()
def plain(model, prompt, sampling, stops=(EOS,)):
    """One prompt alone, without cache: (ids, logprobs, reason)."""
    ids, logprobs = list(prompt), []
    for _ in range(sampling.max_new_tokens):
        logits = model(torch.tensor([ids])).logits[:, -1]
        seen = torch.zeros(1, logits.shape[1], dtype=torch.bool)
        seen[0, ids] = True
        token, logprob = draw(logits, Controls([sampling]), torch.tensor([len(ids)]), seen)
        ids.append(token.item())
        logprobs.append(logprob.item())
        if ids[-1] in stops:
            return ids[len(prompt) :], logprobs, "stop"
    return ids[len(prompt) :], logprobs, "length"


def assert_equal_to_plain(model, prompts, samplings, rows, stops=(EOS,)):
    """Whatever the number of rows is; returns the completions."""
    expected = [plain(model, *pair, stops) for pair in zip(prompts, samplings, strict=True)]
    for batch_size in rows:
        completions = generate(model, prompts, samplings, EOS, batch_size=batch_size)
        for completion, (ids, logprobs, reason) in zip(completions, expected, strict=True):
            assert (completion.ids, completion.finish_reason) == (ids, reason)
            assert completion.logprobs == pytest.approx(logprobs, abs=1e-5)
    return completions


SHAPES = {
    "dense": {},
    "qk_norm": {"qk_norm": True, "head_dim": 16},
    "experts": {"use_moe": True, "num_experts": 4},
    "yarn": {"inference_rope_scaling": True},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_greedy_equals_full_forward(shape):
    """Forty prompts through fewer rows, with endings at all times: rows are swapped, moved and filled again."""
    model, prompts = model_of(**SHAPES[shape]), prompts_of(40)
    samplings = [Sampling(temperature=0, max_new_tokens=1 + index % 13, stop_ids=(7, 9)) for index in range(40)]
    completions = assert_equal_to_plain(model, prompts, samplings, rows=(1, 7, 64), stops=(EOS, 7, 9))
    assert {completion.finish_reason for completion in completions} == {"stop", "length"}


def test_sampled_with_mixed_settings_equals_each_alone():
    model, prompts = model_of(), prompts_of(40)
    kinds = [
        Sampling(temperature=0.8, max_new_tokens=12),
        Sampling(temperature=0, max_new_tokens=9),
        Sampling(top_k=5, top_p=0.9, max_new_tokens=15),
        Sampling(min_p=0.1, repetition_penalty=1.3, max_new_tokens=7),
        Sampling(temperature=0, repetition_penalty=1.5, max_new_tokens=11),
    ]
    samplings = [kinds[index % 5].fork(index) for index in range(40)]
    assert_equal_to_plain(model, prompts, samplings, rows=(3, 16))


def test_one_sampling_for_all_is_independent_of_the_batch():
    model, prompt = model_of(), [5, 6, 7]
    sampling = Sampling(max_new_tokens=10, seed=3)
    completions = generate(model, [prompt] * 20, sampling, EOS, batch_size=8)
    assert completions == generate(model, [prompt] * 20, sampling, EOS, batch_size=20)
    assert completions[0].ids == generate(model, [prompt], sampling, EOS)[0].ids
    assert len({tuple(completion.ids) for completion in completions}) > 15


def test_a_request_cut_short_goes_on_exactly():
    """The noise belongs to the place in the sequence: prompt and first half as a new prompt give the second half."""
    model, sampling = model_of(), Sampling(max_new_tokens=16, seed=9)
    prompt = [4, 8, 15]
    whole = generate(model, [prompt], sampling, eos_id=-1)[0].ids
    assert len(whole) == 16
    rest = generate(model, [prompt + whole[:6]], Sampling(max_new_tokens=10, seed=9), eos_id=-1)[0].ids
    assert whole[6:] == rest


def test_logprobs_are_those_of_the_training_forward():
    """What rollouts rely on: the same distribution over a full forward of prompt and answer gives the same numbers."""
    model, prompts = model_of(qk_norm=True), prompts_of(12)
    sampling = Sampling(temperature=0.7, top_p=0.95, max_new_tokens=10)
    for prompt, completion in zip(prompts, generate(model, prompts, sampling, EOS, batch_size=5), strict=True):
        sequence = torch.tensor(prompt + completion.ids)
        with torch.no_grad():
            logits = model(sequence[None]).logits[0, len(prompt) - 1 : -1]
        scored = distribution(logits, sampling).gather(1, sequence[len(prompt) :, None])[:, 0]
        assert completion.logprobs == pytest.approx(scored.tolist(), abs=1e-5)


def test_under_autocast_the_cache_has_its_type():
    """What a rollout in mixed precision does; the first tokens, which rounding does not yet move, are those of fp32."""
    model, prompts = model_of().float(), prompts_of(6)
    sampling = Sampling(temperature=0, max_new_tokens=4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        decoder = Decoder(model, prompts, sampling, EOS)
        completions = generate(model, prompts, sampling, EOS)
    assert decoder.cache.keys.dtype == torch.bfloat16
    exact = generate(model, prompts, sampling, EOS)
    assert sum(ours.ids[0] == theirs.ids[0] for ours, theirs in zip(completions, exact, strict=True)) >= 5


def test_on_tokens_sees_every_token_and_cancels():
    model, prompts = model_of(), prompts_of(30)
    sampling = Sampling(temperature=0, max_new_tokens=12)
    reference = generate(model, prompts, sampling, EOS, batch_size=30)
    heard: dict[int, list[int]] = {}

    def listen(requests, ids):
        for request, token in zip(requests, ids, strict=True):
            heard.setdefault(request, []).append(token)
        # The even ones are cancelled after three tokens; 29 before it was ever begun.
        return {29} | {request for request in requests if request % 2 == 0 and len(heard[request]) == 3}

    prompts[29] = [3] * 60
    completions = generate(model, prompts, sampling, EOS, batch_size=6, on_tokens=listen)
    assert completions[29].ids == [] and completions[29].finish_reason == "cancelled"
    for index, completion in enumerate(completions[:29]):
        assert completion.ids == heard[index]
        full = reference[index]
        if index % 2 == 0 and len(full.ids) > 3:
            assert completion.ids == full.ids[:3] and completion.finish_reason == "cancelled"
        else:
            assert completion == full


def test_an_ended_request_cannot_be_cancelled():
    decoder = Decoder(model_of(), [[3, 4]], Sampling(max_new_tokens=1), EOS)
    decoder.step()
    decoder.cancel([0])
    assert decoder.finished and decoder.completions()[0].finish_reason != "cancelled"


def test_nothing_to_do():
    assert generate(model_of(), [], Sampling(), EOS) == []


def test_errors():
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        generate(model_of(), [[3], []], Sampling(), EOS)
    broken = model_of()
    broken.lm_head.weight.data[:] = float("nan")
    with pytest.raises(ValueError, match="NaN"):
        generate(broken, [[3]], Sampling(), EOS)
