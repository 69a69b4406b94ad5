"""A stage small enough to run in milliseconds, for tests of the verbs: a linear model on packed rows of numbers."""

from dataclasses import asdict

import torch

from minimind.optim.groups import Optimizer
from minimind.train.run import start
from minimind.train.settings import OptimGroup, RunGroup


class Rows:
    """A batch of rows with what the verbs ask of one."""

    def __init__(self, ids):
        self.ids, self.tokens, self.count = ids, ids.numel(), ids.numel()

    def rows(self, begin, end):
        return Rows(self.ids[begin:end])

    def to(self, device):
        return self


class Stream:
    """Endless rows that depend on the position alone."""

    def __init__(self, rows, rank=0, world_size=1):
        self.position, self.per_step, self.rank, self.world_size = 0, rows, rank, world_size

    def next(self):
        generator = torch.Generator().manual_seed(self.position)
        rows = torch.randn(self.per_step, 4, generator=generator)
        self.position += 1
        return Rows(rows.chunk(self.world_size)[self.rank])

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


class Toy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(4, 8)
        self.dropout = torch.nn.Dropout(0.2)
        self.outer = torch.nn.Linear(8, 4)

    def forward(self, x):
        return self.outer(self.dropout(torch.tanh(self.inner(x))))


def toy_run(folder, total=20, poison=None, per_step=8, name="toy", publish=None, dropout=True, **settings):
    """Trains the toy for `total` steps and returns (run, model). poison: the step whose loss becomes nan."""
    config = RunGroup(save_dir=str(folder / "out"), device="cpu", quiet=True, log_interval=1, **settings)
    optim = OptimGroup(learning_rate=1e-2, schedule="cosine")
    run = start(config, optim, name=name, snapshot=asdict(config), identity={"width": 8})
    model = run.ready(Toy())
    if not dropout:
        model.dropout.p = 0.0
    optimizer = Optimizer(model, rule="muon", learning_rate=1e-2)
    stream = Stream(per_step, run.ranks.rank, run.ranks.world_size)
    run.keep(model=model, optimizer=optimizer, data=stream)
    run.publish = publish
    for step in run.steps(total):
        for part in step.split(stream.next()):
            with run.autocast():
                error = model(part.ids) - part.ids
            loss = error.float().square().sum()
            step.backward(loss * float("nan") if step.number == poison else loss)
        step.apply(optimizer)
    return run, model
