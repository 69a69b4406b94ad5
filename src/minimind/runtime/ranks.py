"""The processes of one run: who am I, how many are we, and sums over all of us."""

import datetime
import os
from dataclasses import dataclass

import torch
import torch.distributed as distributed


@dataclass(frozen=True)
class Ranks:
    """rank of world_size processes; one process alone is rank 0 of 1 and needs no process group."""

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """`tensor` summed over all ranks, in place."""
        if self.world_size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def add(self, *numbers: float) -> list[float]:
        """Each number summed over all ranks, in float64; nothing is exchanged when there is one rank."""
        if self.world_size == 1:
            return list(numbers)
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        return self.sum(torch.tensor(numbers, dtype=torch.float64, device=device)).tolist()

    def barrier(self) -> None:
        if self.world_size > 1:
            distributed.barrier()

    def share(self, value):
        """Rank 0's `value` (anything JSON can hold) on every rank."""
        if self.world_size == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value) -> list:
        """The values of all ranks, in order of rank, on every rank."""
        if self.world_size == 1:
            return [value]
        boxes = [None] * self.world_size
        distributed.all_gather_object(boxes, value)
        return boxes


def join(device_type: str, timeout_seconds: float = 600.0) -> Ranks:
    """Joins the processes that torchrun started (by its environment variables); alone without them."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        return Ranks()
    ranks = Ranks(int(os.environ["RANK"]), world_size, int(os.environ.get("LOCAL_RANK", "0")))
    if device_type == "cuda":
        torch.cuda.set_device(ranks.local_rank)
    if not distributed.is_initialized():
        backend = "nccl" if device_type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=datetime.timedelta(seconds=timeout_seconds))
    return ranks


def leave() -> None:
    """Leaves the process group, if there is one."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
