"""Several processes of one command on one machine, without a launcher.

Small models leave a CPU's second core idle: their products are too small to be shared out among threads. Two processes
that add their gradients up use both cores. The first process starts the others with the environment that torchrun would
give them, so every stage runs in them as it does under torchrun.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def under_launcher() -> bool:
    """Whether torchrun, or a first process, has started this one."""
    return "WORLD_SIZE" in os.environ


def set_threads(ranks: int) -> None:
    """Shares the cores out among the ranks."""
    import torch

    torch.set_num_threads(max(1, cores() // ranks))


class Team:
    """The other processes. `with Team(2, arguments, log_folder): ...` ends them with the block, however it ends."""

    def __init__(self, size: int, arguments: list[str], folder: Path):
        self.size, self.arguments, self.folder = size, arguments, folder
        self.others: list[subprocess.Popen] = []

    def __enter__(self) -> "Team":
        if self.size > 1:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            shared = {"WORLD_SIZE": str(self.size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            for rank in range(1, self.size):
                own = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
                log = open(self.folder / f"rank_{rank}.log", "w", encoding="utf-8")  # noqa: SIM115 - the child's own
                command = [sys.executable, "-m", "minimind", *self.arguments]
                self.others.append(subprocess.Popen(command, env=own, stdout=log, stderr=log, stdin=subprocess.DEVNULL))
                log.close()
            os.environ.update({**shared, "RANK": "0", "LOCAL_RANK": "0"})
        return self

    def __exit__(self, kind, *_) -> None:
        for other in self.others:
            try:
                other.wait(timeout=20 if kind is None or kind is SystemExit else 1)
            except subprocess.TimeoutExpired:
                other.kill()
        if self.size > 1:
            for name in ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "RANK", "LOCAL_RANK"):
                os.environ.pop(name, None)
