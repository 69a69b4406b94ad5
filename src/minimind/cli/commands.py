"""The table of commands. It holds names only, so that showing it imports nothing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """`module` has `main(argv) -> exit status`; a stage's has `Config` and `train(config)` instead."""

    name: str
    purpose: str
    module: str
    group: str
    examples: tuple[str, ...]
    aliases: tuple[str, ...] = ()

    @property
    def is_stage(self) -> bool:
        return self.module.startswith("minimind.stages.")


THE_ROAD = "the whole road"
DATA = "data"
STAGES = "stages, in the order of the road"
MODELS = "a trained model"
LOOKING = "looking"

COMMANDS = (
    Command(
        "speedrun",
        "from nothing to an examined, aligned chat model on this machine",
        "minimind.cli.speedrun",
        THE_ROAD,
        ("minimind speedrun", "minimind speedrun --minutes 30"),
    ),
    Command(
        "primer",
        "write the built-in curriculum as data files for every stage",
        "minimind.cli.primer",
        DATA,
        ("minimind primer --out dataset", "minimind primer --out dataset --records 50000 --seed 7"),
    ),
    Command(
        "tokenizer",
        "train a byte-level BPE tokenizer on text",
        "minimind.stages.tokenizer",
        STAGES,
        ("minimind tokenizer --data_path 'dataset/*tokenizer*.jsonl' --vocab_size 6400",),
    ),
    Command(
        "pretrain",
        "teach the language: predict the next token of plain text",
        "minimind.stages.pretrain",
        STAGES,
        (
            "minimind pretrain --preset primer --data_path 'dataset/*pretrain*.jsonl'",
            "minimind pretrain --hidden_size 512 --num_hidden_layers 8 --max_steps 1000 --dry_run",
            "torchrun --nproc_per_node 2 -m minimind pretrain --preset primer --from_resume 1",
        ),
    ),
    Command(
        "full_sft",
        "teach conversation: supervised fine-tuning of all weights",
        "minimind.stages.full_sft",
        STAGES,
        (
            "minimind full_sft --preset primer --data_path 'dataset/*sft*.jsonl'",
            "minimind full_sft --from_weight pretrain --epochs 2 --batch_size 16",
        ),
        aliases=("sft",),
    ),
    Command(
        "dpo",
        "align with pairs of a better and a worse reply",
        "minimind.stages.dpo",
        STAGES,
        ("minimind dpo --preset primer --data_path 'dataset/*dpo*.jsonl'",),
    ),
    Command(
        "grpo",
        "reinforce what a verifier rewards, group by group",
        "minimind.stages.grpo",
        STAGES,
        ("minimind grpo --preset primer --data_path 'dataset/*grpo*.jsonl'",),
    ),
    Command(
        "exam",
        "examine weights: every subject, in both languages, scored exactly",
        "minimind.cli.exam",
        MODELS,
        ("minimind exam --weight full_sft", "minimind exam --weight full_sft --weight grpo --json"),
    ),
    Command(
        "chat",
        "talk to a model",
        "minimind.cli.chat",
        MODELS,
        ("minimind chat", "minimind chat --weight dpo --temperature 0.7"),
    ),
    Command(
        "eval",
        "put preset questions, or your own, to a model",
        "minimind.cli.eval_llm",
        MODELS,
        ("minimind eval --weight full_sft",),
        aliases=("eval_llm",),
    ),
    Command(
        "count",
        "parameters, work per token and size of a model, without building it",
        "minimind.cli.count",
        LOOKING,
        (
            "minimind count",
            "minimind count --preset minimind2-moe --json",
            "minimind count --hidden_size 768 --num_hidden_layers 16",
        ),
    ),
    Command(
        "plot",
        "draw the curves of runs, or a report card",
        "minimind.cli.plot",
        LOOKING,
        ("minimind plot runs/pretrain_512", "minimind plot runs/*/metrics.jsonl --out curves.png"),
    ),
)
