"""Group-relative policy optimisation: of several attempts at one task, the better ones become likelier.

    A_i = (r_i - mean(r)) / (std(r) + 1e-4)       over the G attempts at one prompt: no value model is needed
    R_t = exp(log p(y_t) - log p_sampled(y_t))
    clip:   - min(R_t A, clip(R_t, 1 - e_low, 1 + e_high) A)
    cispo:  - stop_gradient(min(R_t, 1 + e_high)) A log p(y_t)
    + beta * k3(log p(y_t), log p_ref(y_t))       keeps the model near where it started

How the tokens' losses become one: "sequence" averages within each reply and then over replies (GRPO), "token" over all
tokens (DAPO), "constant" divides each reply's sum by the longest length allowed (Dr. GRPO).

Sources: GRPO, arXiv 2402.03300; token mean and the higher upper clip, DAPO, arXiv 2503.14476; constant length and no
division by the deviation, Dr. GRPO, arXiv 2503.20783; CISPO, MiniMax-M1, arXiv 2506.13585; k3, see ops/kl.py.

Departures from the public recipe: (1) the replies are sampled and scored under the same distribution, by the engine
that serves them; (2) `updates` > 1 goes over a rollout several times, so that the clip can act; (3) prompts whose
replies all scored the same add no policy gradient, and the metric `useful_prompts` counts the others; (4) gradients
are summed over the ranks.

CPU:  minimind grpo --preset primer --data_path 'dataset/*grpo*.jsonl'
GPU:  torchrun --nproc_per_node 8 trainer/train_grpo.py --data_path dataset/rlaif.jsonl --num_generations 8
"""

import copy
from dataclasses import dataclass

import torch

from minimind.config import flag, to_dict
from minimind.data.material import DataGroup, data_group, open_prompted
from minimind.data.pack import Batch
from minimind.infer.score import target_logprobs
from minimind.infer.text import show_replies
from minimind.lineage import begin, fingerprint, publisher
from minimind.model.count import flops_per_token
from minimind.model.settings import ModelGroup, model_group
from minimind.ops.advantage import group_advantages
from minimind.ops.kl import k3
from minimind.ops.sampling import Sampling
from minimind.rewards import Reward
from minimind.rollout.collect import Rollout, collect
from minimind.train.run import start
from minimind.train.settings import OptimGroup, RunGroup, make_optimizer, optim_group, run_group


@dataclass
class Config:
    """Sizes and rates are those of the spec's train_grpo.py; batch_size counts prompts."""

    num_generations: int = flag(8, "replies sampled for each prompt", minimum=2)
    loss_type: str = flag("clip", "clip (GRPO) or cispo", "--objective", choices=("clip", "cispo"))
    normalise: str = flag("sequence", "sequence, token or constant", choices=("sequence", "token", "constant"))
    scale_rewards: bool = flag(True, "divide advantages by the group's standard deviation")
    beta: float = flag(0.02, "weight of the divergence from the starting model; 0: none", minimum=0)
    epsilon: float = flag(0.2, "how far a token's ratio may fall below 1", minimum=0)
    epsilon_high: float = flag(0.2, "how far a token's ratio may rise above 1 (CISPO's own: 5)", minimum=0)
    updates: int = flag(1, "updates from each rollout", minimum=1)
    temperature: float = flag(1.0, "of sampling and of scoring", minimum=0.01)
    max_new_tokens: int = flag(512, "tokens of a reply at most", "--max_gen_len", minimum=1)
    rewards: str = flag("answer=1,format=0.2,repetition=0.2", "parts of the reward and their weights")
    reasoning: bool | None = flag(None, "ask for thinking in the prompt (1), forbid it (0), or leave it to the model")
    micro_rows: int = flag(8, "packed rows in a micro-batch of the update", minimum=1)
    questions: list[str] = flag(["12+30=?"], "questions answered as samples")
    model: ModelGroup = model_group(from_weight="full_sft")
    data: DataGroup = data_group(data_path="dataset/rlaif.jsonl", max_seq_len=1024)
    optim: OptimGroup = optim_group(learning_rate=3e-7)
    run: RunGroup = run_group(epochs=1, batch_size=2, save_interval=100, log_interval=10)


def clip(logprobs, behaviour, advantages, epsilon, epsilon_high) -> torch.Tensor:
    """[N] each -> [N]: the clipped surrogate; a token that already moved far enough in its direction gets no push."""
    ratio = (logprobs - behaviour).exp()
    clipped = ratio.clamp(1 - epsilon, 1 + epsilon_high)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def cispo(logprobs, behaviour, advantages, epsilon, epsilon_high) -> torch.Tensor:
    """[N] each -> [N]: every token keeps its gradient; only the weight of the importance sampling is bounded."""
    weight = (logprobs - behaviour).exp().clamp(max=1 + epsilon_high).detach()
    return -weight * advantages * logprobs


OBJECTIVES = {"clip": clip, "cispo": cispo}


def token_weights(lengths: torch.Tensor, normalise: str, longest: int) -> torch.Tensor:
    """[M] reply lengths -> [M]: what each token of a reply weighs; the sum is divided by `denominator`."""
    if normalise == "sequence":
        return 1 / lengths.clamp(min=1)
    return torch.full_like(lengths, 1.0 if normalise == "token" else 1 / longest, dtype=torch.float32)


def denominator(lengths: torch.Tensor, normalise: str) -> float:
    """What the weighted sum over all replies is divided by: tokens for "token", replies otherwise."""
    return float(lengths.sum()) if normalise == "token" else float(len(lengths))


def loss_of_part(run, model, reference, rollout: Rollout, advantages: torch.Tensor, part: Batch, config: Config):
    """(weighted sum of the losses of one micro-batch, statistics as pairs (sum, count))."""
    with run.autocast():
        logprobs, _ = target_logprobs(model, part, config.temperature)
    behaviour = rollout.of_targets(part, rollout.behaviour)
    weights = rollout.of_targets(part, token_weights(rollout.lengths, config.normalise, config.max_new_tokens))
    own = rollout.of_targets(part, advantages.flatten())
    losses = OBJECTIVES[config.loss_type](logprobs, behaviour, own, config.epsilon, config.epsilon_high)
    ratio = (logprobs - behaviour).exp().detach()
    statistics = {
        "clipped": (((ratio < 1 - config.epsilon) | (ratio > 1 + config.epsilon_high)).sum(), len(ratio)),
        "ratio_error": ((ratio - 1).abs().sum(), len(ratio)),
    }
    if reference is not None:
        with torch.no_grad(), run.autocast():
            anchor, _ = target_logprobs(reference, part, config.temperature)
        divergence = k3(logprobs, anchor)
        losses = losses + config.beta * divergence
        statistics["kl"] = (divergence.detach().sum(), len(ratio))
    return (losses * weights).sum(), statistics


def train(config: Config) -> None:
    """Reads prompts with answers from `data_path`, trains, and writes `{save_dir}/grpo_{hidden_size}.pth`."""
    origin = begin("grpo", config.model, config.run)
    data = open_prompted(config.data, config.run, origin.tokenizer, config.max_new_tokens, config.reasoning)
    reward = Reward(config.rewards)
    run = start(
        config.run, config.optim, name=origin.name, snapshot=to_dict(config), identity=origin.identity | data.identity
    )
    model = run.ready(origin.model(), "trained")
    run.identity["starting_weights"] = fingerprint(model)  # a resumed run must measure against the same model
    reference = run.ready(copy.deepcopy(model), "frozen") if config.beta else None
    optimizer = make_optimizer(model, config.optim)
    stream = data.stream(run.ranks)
    run.keep(model=model, optimizer=optimizer, data=stream)
    run.publish = publisher(origin, model, data.card | {"config": to_dict(config)})
    run.flops_per_token = 3 * flops_per_token(origin.config, config.data.max_seq_len)
    sampling = Sampling(temperature=config.temperature, max_new_tokens=config.max_new_tokens)

    for step in run.steps(data.steps(run.ranks)):
        prompts = stream.next(config.run.batch_size * config.run.accumulation_steps)
        seeds = [prompt.key + 1_000_003 * (config.run.seed + 1_000_003 * step.number) for prompt in prompts]
        with run.autocast():  # sampled in the number format that the replies are scored in
            rollout = collect(
                model,
                origin.tokenizer,
                prompts,
                config.num_generations,
                sampling,
                seeds,
                reward,
                width=config.data.max_seq_len,
            ).to(run.device)
        advantages = group_advantages(rollout.rewards, by_deviation=config.scale_rewards)
        # without the divergence a reply of advantage 0 adds nothing, so it need not be computed
        batch = rollout.packed(None if config.beta else advantages.flatten() != 0)
        for _ in range(config.updates):
            count = denominator(rollout.lengths, config.normalise)
            for part in step.split(batch, config.micro_rows, count):
                loss_sum, statistics = loss_of_part(run, model, reference, rollout, advantages, part, config)
                step.backward(loss_sum)
                step.note(**statistics)
            step.apply(optimizer)
        step.note(
            reward=(rollout.rewards.sum(), rollout.rewards.numel()),
            reply_tokens=(rollout.lengths.sum(), len(rollout.lengths)),
            finished=(rollout.finished.sum(), len(rollout.finished)),
            useful_prompts=((rollout.rewards.std(dim=1) > 0).sum(), len(prompts)),
            **{f"reward_{name}": (values.sum(), values.numel()) for name, values in rollout.parts.items()},
        )
        if run.every(config.run.sample_interval):
            show_replies(run, model, origin.tokenizer, config.questions)
