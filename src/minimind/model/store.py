"""Weights on disk: flat dictionaries of tensors with Llama/Qwen3 names, never pickled code.

Files: .pth and .bin by torch.save, .safetensors, or a folder of safetensors as Hugging Face lays it out.
"""

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from minimind.config import UserError
from minimind.model.config import ModelConfig
from minimind.model.names import current_names

State = dict[str, Tensor]


def save_weights(
    weights: nn.Module | Mapping[str, Tensor], path: str | Path, dtype: torch.dtype | None = torch.float16
) -> None:
    """Writes a module's state dict, or one given, as .pth or .safetensors; floating tensors become `dtype`.

    Tied matrices keep both names (in a .pth they share their bytes). The file appears under its name only when it is
    complete and on the disk. UserError when a value is not finite, or not in the range of `dtype`.
    """
    path = Path(path)
    state = _converted(weights.state_dict() if isinstance(weights, nn.Module) else weights, dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            if path.suffix == ".safetensors":
                # The format knows no shared bytes, so each name gets its own.
                file.write(safetensors.torch.save({name: t.clone() for name, t in state.items()}, {"format": "pt"}))
            else:
                _save_torch(state, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # makes the rename survive a power cut
    finally:
        os.close(folder)


def _save_torch(state: State, file: IO[bytes]) -> None:
    """torch.save, whose own error for a disk that is full is a RuntimeError without a word about it."""
    try:
        torch.save(state, file)
    except RuntimeError as error:
        raise OSError(f"{file.name} could be written in part only: is the disk full?") from error


def load_weights(path: str | Path) -> State:
    """The tensors of a file or folder on the CPU, under the names they have there; no code in the file is run."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: there are no weights here")
    if path.is_dir():
        return _load_folder(path)
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path}: refused, as it holds something other than plain tensors ({_first_line(error)})"
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(f"{path}: is damaged or no weights file ({_first_line(error)})") from None
    strange = not isinstance(state, dict) or any(
        not isinstance(name, str) or not isinstance(value, Tensor) for name, value in state.items()
    )
    if strange:
        raise UserError(f"{path}: holds no flat dictionary of named tensors; give the weights, not a training state")
    return state


def load_strict(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copies `state` into a LanguageModel; older names are understood. UserError naming all that does not fit."""
    config: ModelConfig = model.config
    state = current_names(state, config)
    expected = model.state_dict()
    problems = []
    for title, names in (("missing", expected.keys() - state.keys()), ("unknown", state.keys() - expected.keys())):
        if names:
            problems.append(f"{title}: {_listed(sorted(names))}")
    wrong = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    if wrong:
        problems.append(f"wrong shape: {_listed(wrong)}")
    tied = ("model.embed_tokens.weight", "lm_head.weight")
    if not problems and config.tie_word_embeddings and not torch.equal(*(state[name] for name in tied)):
        problems.append(f"{tied[0]} and {tied[1]} differ, but the model has tie_word_embeddings")
    if problems:
        raise UserError("the weights do not fit the model: " + "; ".join(problems))
    model.load_state_dict(state)


def _converted(state: Mapping[str, Tensor], dtype: torch.dtype | None) -> State:
    """Copies on the CPU in `dtype`, where tensors that shared memory share it again."""
    copies: dict[tuple, Tensor] = {}
    result = {}
    for name, tensor in state.items():
        identity = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
        if identity not in copies:
            copies[identity] = _converted_tensor(name, tensor.detach(), dtype)
        result[name] = copies[identity]
    return result


def _converted_tensor(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.cpu().contiguous()
    if not bool(tensor.isfinite().all()):
        raise UserError(f"{name} has values that are not finite; the weights were not saved")
    copy = tensor.to("cpu", dtype or tensor.dtype).contiguous()
    if not bool(copy.isfinite().all()):
        raise UserError(
            f"{name} has values up to {tensor.abs().max().item():.3g}, too large for {copy.dtype}; "
            "the weights were not saved: choose bfloat16 or float32"
        )
    # A slice would be saved with all the memory behind it.
    return copy.clone() if copy.untyped_storage().nbytes() != copy.nbytes else copy


def _load_safetensors(path: Path) -> State:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path}: is damaged or no safetensors file ({_first_line(error)})") from None


def _load_folder(folder: Path) -> State:
    """The shards that the index names, or else the one file."""
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model.bin"))
        if len(files) != 1:
            raise UserError(f"{folder}: expected model.safetensors, its index, or pytorch_model.bin")
        return load_weights(files[0])
    try:
        places: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = sorted(set(places.values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise UserError(f"{index}: is no index of safetensors ({error!r})") from None
    state: State = {}
    for shard in shards:
        if Path(shard).name != shard:
            raise UserError(f"{index}: names a file outside its folder, {shard!r}")
        state.update(load_weights(folder / shard))
    absent = sorted(places.keys() - state.keys())
    if absent:
        raise UserError(f"{folder}: the shards lack {_listed(absent)}")
    return state


def _first_line(error: Exception) -> str:
    """Torch's messages go on with advice that does not concern the user, and some are empty."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _listed(names: list[str], most: int = 8) -> str:
    """The names, the first few if there are many."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
