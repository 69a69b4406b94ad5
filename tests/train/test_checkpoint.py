"""Training state on disk: the same after as before, and damage always noticed."""

import json
import random

import pytest
import torch

from minimind.train import checkpoint


def example_states(seed=0):
    torch.manual_seed(seed)
    shared = torch.randn(4, 3)
    return {
        "model": {"a": shared, "tied": shared, "half": torch.randn(5).bfloat16(), "empty": torch.zeros(0)},
        "optimizer": {
            "parts": [{"state": {0: {"step": torch.tensor(3.0)}}, "groups": [{"lr": 1e-3, "betas": (0.9, 0.99)}]}]
        },
        "data": {"cursor": [1, 2, 3], "name": "数据", "none": None, "flag": True},
    }


def equal(first, second):
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second) and first.dtype == second.dtype
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return type(first) is type(second) and all(equal(a, b) for a, b in zip(first, second, strict=True))
    return first == second


def test_what_is_loaded_is_what_was_saved(tmp_path):
    checkpoint.save(tmp_path, 12, example_states())
    step, states = checkpoint.load(checkpoint.newest(tmp_path))
    assert step == 12 and equal(states, example_states())
    assert not list(tmp_path.glob(".*"))


def test_only_the_newest_are_kept(tmp_path):
    for step in (1, 2, 4, 30):
        checkpoint.save(tmp_path, step, example_states(), keep=2)
    assert [path.name for path in checkpoint.complete(tmp_path)] == ["step_00000004", "step_00000030"]


def test_a_damaged_newer_one_never_costs_the_one_just_saved(tmp_path):
    """Step 30 is damaged, so the run goes on from step 4 and saves step 6: that one, not step 30, must be kept."""
    for step in (4, 30):
        checkpoint.save(tmp_path, step, example_states(), keep=2)
    (tmp_path / "step_00000030" / "state.json").write_text("{")
    checkpoint.save(tmp_path, 6, example_states(), keep=1)
    assert checkpoint.newest(tmp_path, lambda text: None).name == "step_00000006"


@pytest.mark.parametrize("seed", range(10))
def test_a_flipped_bit_is_noticed_and_the_checkpoint_before_it_is_used(tmp_path, seed):
    checkpoint.save(tmp_path, 1, example_states(1))
    checkpoint.save(tmp_path, 2, example_states(2))
    chance = random.Random(seed)
    file = chance.choice(
        [path for path in sorted((tmp_path / "step_00000002").iterdir()) if path.name != checkpoint.MANIFEST]
    )
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)
    said = []
    assert checkpoint.newest(tmp_path, said.append).name == "step_00000001"
    assert len(said) == 1 and file.name in said[0]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_noticed(tmp_path, share):
    path = checkpoint.save(tmp_path, 1, example_states())
    for file in sorted(path.iterdir()):
        content = file.read_bytes()
        file.write_bytes(content[: int(len(content) * share)])
        assert checkpoint.damage(path) is not None, file
        file.write_bytes(content)
    assert checkpoint.damage(path) is None


def test_a_missing_file_and_a_missing_manifest_are_noticed(tmp_path):
    path = checkpoint.save(tmp_path, 1, example_states())
    (path / "model.safetensors").unlink()
    assert checkpoint.damage(path) == "model.safetensors is missing"
    (path / checkpoint.MANIFEST).unlink()
    with pytest.raises(ValueError, match="all 1 are damaged"):
        checkpoint.newest(tmp_path, lambda text: None)


def test_a_failed_write_leaves_the_old_checkpoint_and_says_why(tmp_path, monkeypatch):
    good = checkpoint.save(tmp_path, 1, example_states())
    before = json.loads((good / checkpoint.MANIFEST).read_text())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "flush", full)
    with pytest.raises(ValueError, match=r"step_00000002: No space left on device \(about .* bytes needed, .* free\)"):
        checkpoint.save(tmp_path, 2, example_states())
    assert checkpoint.newest(tmp_path) == good and json.loads((good / checkpoint.MANIFEST).read_text()) == before
    assert [path.name for path in tmp_path.iterdir()] == ["step_00000001"]


def test_what_a_checkpoint_cannot_hold_is_refused(tmp_path):
    with pytest.raises(TypeError, match="cannot hold a object"):
        checkpoint.save(tmp_path, 1, {"model": {"thing": object()}})
