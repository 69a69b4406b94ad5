"""Where things lie on disk, and writing them so that a reader never sees half a file."""

import json
import os
import socket
from pathlib import Path


def weights_path(save_dir: str | Path, stage: str, hidden_size: int, use_moe: bool = False) -> Path:
    """`{save_dir}/{stage}_{hidden_size}[_moe].pth`, the spec's name for a stage's weights."""
    return Path(save_dir) / f"{stage}_{hidden_size}{'_moe' if use_moe else ''}.pth"


def home_of(save_dir: str | Path) -> Path:
    """The folder that holds `checkpoints/` and `runs/`: beside `out/`, or inside a save folder of any other name.

    So runs that save to different places never share training state.
    """
    save_dir = Path(save_dir)
    return save_dir.parent if save_dir.name == "out" else save_dir


def fsync_folder(folder: Path) -> None:
    """Makes a rename inside `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomically(path: str | Path, content: bytes | str) -> None:
    """Writes `content` under a temporary name, flushes it to the disk and renames it to `path`."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    data = content.encode() if isinstance(content, str) else content
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_folder(path.parent)


class FolderLock:
    """Holds a folder for one run: a second run is refused by name, a lock left by a dead process is taken over.

    The operating system drops the lock when the process ends, however it ends, so no lock can be stale.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / ".lock"
        self.file = None

    def acquire(self) -> None:
        """Raises ValueError, naming the holder, when another live process holds the folder."""
        import fcntl

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = open(self.path, "a+", encoding="utf-8")  # held open for as long as the lock
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.file.seek(0)
            holder = self.file.read().strip() or "another process"
            self.file.close()
            self.file = None
            raise ValueError(
                f"{self.path.parent} is in use by {holder}: wait for that run to end, or use another --save_dir."
            ) from error
        self.file.seek(0)
        self.file.truncate()
        self.file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        self.file.flush()

    def release(self) -> None:
        if self.file is not None:
            self.file.truncate(0)  # the file stays: whoever has opened it must not hold a lock on a name that is gone
            self.file.close()
            self.file = None
