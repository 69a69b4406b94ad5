"""The flags that every training stage shares: how to run, and how to move the weights."""

from dataclasses import dataclass, field

from minimind.config import flag
from minimind.optim.groups import Optimizer


@dataclass
class RunGroup:
    """Run"""

    epochs: int = flag(1, "passes over the data", minimum=1)
    max_steps: int = flag(0, "stop after this many steps in all; 0: the epochs decide", minimum=0)
    max_minutes: float = flag(0.0, "save and stop after this many minutes of this run; 0: no limit", minimum=0)
    batch_size: int = flag(32, "rows of max_seq_len tokens in a micro-batch of one rank", minimum=1)
    accumulation_steps: int = flag(1, "micro-batches in a step", minimum=1)
    grad_clip: float = flag(1.0, "largest norm of the whole gradient; 0: no clipping", minimum=0)
    seed: int = flag(42, "seed of every source of chance", minimum=0)
    device: str = flag("auto", "auto, cpu, cuda, cuda:0 or mps")
    dtype: str = flag(
        "auto",
        "format of matrix products: auto (bfloat16 where the hardware has it), bfloat16, float16 or float32",
        choices=("auto", "bfloat16", "float16", "float32"),
    )
    num_workers: int = flag(1, "accepted for old scripts: batches come from a memory map", minimum=0)
    use_compile: bool = flag(False, "compile the model with torch.compile (pays after some minutes of training)")
    activation_checkpointing: bool = flag(False, "recompute layers in the backward pass: less memory, more time")
    threads: int = flag(0, "CPU threads of torch; 0: as torch decides", minimum=0)
    ddp: bool = flag(False, "accepted for old scripts: torchrun alone decides")
    local_rank: int = flag(-1, "accepted for old launchers: torchrun's environment decides")

    save_dir: str = flag("out", "folder of the weights", "--out_dir")
    save_weight: str = flag("", "name of the weights file, before _{hidden_size}; empty: the stage's name")
    save_interval: int = flag(1000, "steps between checkpoints", minimum=1)
    keep_checkpoints: int = flag(2, "newest checkpoints to keep", minimum=1)
    checkpoint_dir: str = flag("", "folder of training states; empty: checkpoints/ beside out/, or inside --save_dir")
    runs_dir: str = flag("", "folder of metrics; empty: runs/ beside out/, or inside --save_dir")
    from_resume: bool = flag(False, "go on from the newest checkpoint, if there is one")
    log_interval: int = flag(100, "steps between metric records", minimum=1)
    eval_interval: int = flag(0, "steps between validation losses; 0: only at the end", minimum=0)
    sample_interval: int = flag(0, "steps between sample replies; 0: only at the end", minimum=0)
    use_wandb: bool = flag(False, "also send metrics to the tracker (wandb unless --tracker names another)")
    wandb_project: str = flag("MiniMind", "project name at the tracker")
    tracker: str = flag("", "tracker to send metrics to", choices=("", "wandb", "swanlab", "tensorboard"))
    dry_run: bool = flag(False, "resolve everything, check data and memory, print the plan and stop")
    quiet: bool = flag(False, "no progress on the screen")


@dataclass
class OptimGroup:
    """Optimizer"""

    learning_rate: float = flag(5e-4, "peak learning rate (of AdamW)", minimum=0)
    optimizer: str = flag("adamw", "adamw, or muon on matrices with adamw elsewhere", choices=("adamw", "muon"))
    matrix_learning_rate: float = flag(0.02, "peak learning rate of Muon", minimum=0)
    weight_decay: float = flag(0.01, "decoupled weight decay of matrices per unit of learning rate", minimum=0)
    beta2: float = flag(0.999, "decay of AdamW's second moment", minimum=0, maximum=1)
    schedule: str = flag(
        "cosine",
        "cosine to a tenth, wsd (warm-up, stable, decay to 0) or constant",
        choices=("cosine", "wsd", "constant"),
    )
    warmup_steps: int = flag(0, "steps of linear warm-up", "--warmup_iters", minimum=0)
    decay_share: float = flag(0.3, "share of the steps in wsd's decay", minimum=0, maximum=1)


def run_group(**defaults):
    """A run group as a field of a stage's config, with the stage's own defaults."""
    return field(default_factory=lambda: RunGroup(**defaults))


def optim_group(**defaults):
    """An optimizer group as a field of a stage's config, with the stage's own defaults."""
    return field(default_factory=lambda: OptimGroup(**defaults))


def make_optimizer(model, optim: OptimGroup) -> Optimizer:
    """The optimizer that the flags describe, for the parameters of `model` that are to be trained."""
    return Optimizer(
        model,
        rule=optim.optimizer,
        learning_rate=optim.learning_rate,
        matrix_learning_rate=optim.matrix_learning_rate,
        weight_decay=optim.weight_decay,
        betas=(0.9, optim.beta2),
    )
