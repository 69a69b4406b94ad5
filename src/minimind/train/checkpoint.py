"""Training state on disk: complete or absent, never half, and checked before it is believed.

    checkpoints/{stage}_{hidden_size}[_moe]/step_00000120/
        model.safetensors, optimizer.safetensors, ...   the tensors of each kept object
        state.json                                      everything that is not a tensor
        manifest.json                                   size and SHA-256 of each file above

Written into a folder with a temporary name, every file flushed to the disk, the manifest last, then renamed. A folder
that has its final name is therefore whole unless the disk damaged it, and that the manifest shows. Tensors are stored
as they are (fp32 weights stay fp32) in safetensors and JSON: loading a checkpoint runs no code.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from minimind.runtime.paths import fsync_folder

MANIFEST = "manifest.json"


def flatten(state, tensors: dict[str, torch.Tensor]):
    """`state` with each tensor moved into `tensors` and replaced by its name there; the rest becomes JSON values.

    Tensors that share memory (tied weights) are stored once. Raises TypeError for what neither side can hold.
    """
    seen: dict[tuple, str] = {}

    def walk(value):
        if isinstance(value, torch.Tensor):
            key = (value.data_ptr(), value.shape, value.dtype) if value.numel() else (len(tensors),)
            if key not in seen:
                seen[key] = str(len(tensors))
                tensors[seen[key]] = value.detach().cpu().contiguous().clone()
            return {"tensor": seen[key]}
        if isinstance(value, dict):
            return {"dict": [[walk(name), walk(item)] for name, item in value.items()]}
        if isinstance(value, tuple):
            return {"tuple": [walk(item) for item in value]}
        if isinstance(value, list):
            return [walk(item) for item in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"a checkpoint cannot hold a {type(value).__name__}")

    return walk(state)


def unflatten(value, tensors: dict[str, torch.Tensor]):
    """The inverse of `flatten`."""
    if isinstance(value, list):
        return [unflatten(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    (kind, content), *_ = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "tuple":
        return tuple(unflatten(item, tensors) for item in content)
    return {unflatten(name, tensors): unflatten(item, tensors) for name, item in content}


def save(folder: Path, step: int, states: dict[str, object], keep: int = 2) -> Path:
    """Writes the states under `folder/step_{step}` and removes all but the newest `keep` checkpoints.

    Raises ValueError, naming the path and the bytes needed and free, when the disk is full; nothing is lost then.
    """
    final = folder / f"step_{step:08d}"
    temporary = folder / f".step_{step:08d}.{os.getpid()}.part"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    needed = 0
    try:
        values = {}
        for name, state in states.items():
            tensors: dict[str, torch.Tensor] = {}
            values[name] = flatten(state, tensors)
            needed += sum(tensor.nbytes for tensor in tensors.values())
            if tensors:
                save_file(tensors, temporary / f"{name}.safetensors")
        (temporary / "state.json").write_text(json.dumps({"step": step, "states": values}), encoding="utf-8")
        files = sorted(temporary.iterdir())
        for file in files:
            flush(file)
        manifest = {file.name: {"bytes": file.stat().st_size, "sha256": digest(file)} for file in files}
        (temporary / MANIFEST).write_text(json.dumps({"step": step, "files": manifest}, indent=1), encoding="utf-8")
        flush(temporary / MANIFEST)
        fsync_folder(temporary)
        shutil.rmtree(final, ignore_errors=True)
        os.rename(temporary, final)
        fsync_folder(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason, free = getattr(error, "strerror", None) or error, shutil.disk_usage(folder).free
        raise ValueError(
            f"could not write the checkpoint {final}: {reason} (about {needed:,} bytes needed, {free:,} free); "
            "the previous checkpoint is untouched."
        ) from error
    # later ones are damaged, or this one would not have been started from an earlier one: they count for nothing
    for old in [path for path in complete(folder) if path.name <= final.name][: -max(1, keep)]:
        shutil.rmtree(old)
    return final


def complete(folder: Path) -> list[Path]:
    """The checkpoints of a folder, oldest first (by name; not yet checked against their manifests)."""
    return sorted(path for path in folder.glob("step_*") if path.is_dir()) if folder.exists() else []


def clean(folder: Path) -> None:
    """Removes what a killed run left half-written."""
    for path in folder.glob(".step_*.part"):
        shutil.rmtree(path, ignore_errors=True)


def damage(checkpoint: Path) -> str | None:
    """What is wrong with a checkpoint, in words; None when every file is as the manifest says."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, expected in manifest.items():
            file = checkpoint / name
            if not file.exists():
                return f"{name} is missing"
            if file.stat().st_size != expected["bytes"]:
                return f"{name} has {file.stat().st_size} bytes instead of {expected['bytes']}"
            if digest(file) != expected["sha256"]:
                return f"{name} does not match its SHA-256"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{MANIFEST} cannot be read ({type(error).__name__})"
    return None


def newest(folder: Path, say=print) -> Path | None:
    """The newest undamaged checkpoint; damaged ones are named through `say` and passed over.

    Raises ValueError when there are checkpoints but every one is damaged. None when there are none.
    """
    candidates = complete(folder)
    for checkpoint in reversed(candidates):
        problem = damage(checkpoint)
        if problem is None:
            return checkpoint
        say(f"checkpoint {checkpoint} is damaged and passed over: {problem}.")
    if candidates:
        raise ValueError(f"no checkpoint in {folder} can be used: all {len(candidates)} are damaged.")
    return None


def load(checkpoint: Path) -> tuple[int, dict[str, object]]:
    """(step, states) of a checkpoint that `newest` found good."""
    content = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    states = {}
    for name, value in content["states"].items():
        file = checkpoint / f"{name}.safetensors"
        states[name] = unflatten(value, load_file(file) if file.exists() else {})
    return content["step"], states


def digest(file: Path) -> str:
    with open(file, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def flush(file: Path) -> None:
    with open(file, "rb+") as handle:
        os.fsync(handle.fileno())
