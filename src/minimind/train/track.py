"""Optional trackers beside the JSONL records, which are always written."""

from collections.abc import Callable
from pathlib import Path

from minimind.config import UserError


def open_tracker(name: str, project: str, run: str, config: dict, folder: Path) -> Callable[[dict], None] | None:
    """A function that sends a record to the tracker `name` ("" for none). Raises UserError if it is not installed."""
    if not name:
        return None
    try:
        if name == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder))
            return lambda record: [writer.add_scalar(key, value, record["step"]) for key, value in record.items()]
        if name == "wandb":
            import wandb as service
        else:
            import swanlab as service
    except ImportError as error:
        raise UserError(f"--tracker {name}: the package is not installed; run pip install {name}.") from error
    service.init(project=project, name=run, config=config)
    return lambda record: service.log(record, step=record["step"])
