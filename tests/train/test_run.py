"""The verbs on a toy: resume, stop, fault and accumulation, each with its expected outcome."""

import json
import os
import signal
import threading

import pytest
import torch
from toy import toy_run

from minimind.config import UserError
from minimind.runtime.records import read_records
from minimind.train import checkpoint

TIMES = ("seconds", "tokens_per_second")


def records(folder):
    found = read_records(folder / "runs" / "toy" / "metrics.jsonl")
    return [{name: value for name, value in record.items() if name not in TIMES} for record in found]


def same_weights(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


class Killed(BaseException):
    """Stands for a process that ends between two steps, without any of Python's finally clauses mattering to disk."""


@pytest.mark.parametrize("accumulation", [1, 4])
@pytest.mark.parametrize("killed_at", [1, 3, 7, 12, 19])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, killed_at, accumulation):
    settings = {"batch_size": 8 // accumulation, "save_interval": 3, "seed": 5}
    _, clean = toy_run(tmp_path / "clean", **settings)
    with pytest.raises(SystemExit):
        stop_at(tmp_path / "torn", killed_at, settings)
    _, resumed = toy_run(tmp_path / "torn", from_resume=True, **settings)
    assert same_weights(clean, resumed)
    assert records(tmp_path / "clean") == records(tmp_path / "torn")


def stop_at(folder, number, settings):
    """Runs until step `number` and leaves as a killed process does: without saving."""
    import toy

    original = toy.Stream.next

    def dying(self):
        if self.position == number:
            raise SystemExit(137)
        return original(self)

    toy.Stream.next = dying
    try:
        toy_run(folder, **settings)
    finally:
        toy.Stream.next = original


def test_accumulation_does_not_change_the_mathematics(tmp_path):
    curves = []
    for batch_size in (8, 4, 1):
        toy_run(tmp_path / str(batch_size), batch_size=batch_size, dropout=False)
        curves.append(torch.tensor([record["loss"] for record in records(tmp_path / str(batch_size))]))
    for curve in curves[1:]:
        torch.testing.assert_close(curve, curves[0], rtol=1e-4, atol=1e-5)


def test_a_loss_that_is_not_finite_stops_before_the_update(tmp_path):
    with pytest.raises(UserError, match=r"step 7: the loss is not finite .*position.*step_00000006") as failure:
        toy_run(tmp_path, poison=7, save_interval=3, batch_size=8)
    assert "\n" not in str(failure.value)
    found = checkpoint.newest(tmp_path / "checkpoints" / "toy")
    step, states = checkpoint.load(found)
    assert step == 6 and all(torch.isfinite(tensor).all() for tensor in states["model"].values())


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_finishes_the_step_saves_and_stops(tmp_path, number, status):
    published = []

    def publish(metrics):
        published.append(metrics["step"])

    import toy

    original = toy.Stream.next

    def signalled(self):
        if self.position == 5:
            os.kill(os.getpid(), number)
        return original(self)

    toy.Stream.next = signalled
    try:
        with pytest.raises(SystemExit) as stopped:
            toy_run(tmp_path, publish=publish, batch_size=8)
    finally:
        toy.Stream.next = original
    assert stopped.value.code == status
    assert checkpoint.load(checkpoint.newest(tmp_path / "checkpoints" / "toy"))[0] == 6
    assert published[-1] == 6
    _, resumed = toy_run(tmp_path, from_resume=True, batch_size=8)
    _, clean = toy_run(tmp_path / "clean", batch_size=8)
    assert same_weights(clean, resumed)


def test_a_second_run_into_the_same_folder_is_refused(tmp_path):
    entered, leave = threading.Event(), threading.Event()
    import toy

    original = toy.Stream.next

    def waiting(self):
        entered.set()
        leave.wait(20)
        return original(self)

    toy.Stream.next = waiting
    thread = threading.Thread(target=toy_run, args=(tmp_path,), kwargs={"total": 1, "batch_size": 8})
    thread.start()
    try:
        assert entered.wait(20)
        with pytest.raises(UserError, match=rf"is in use by .*{os.getpid()}"):
            toy_run(tmp_path, total=1, batch_size=8)
    finally:
        leave.set()
        thread.join()
        toy.Stream.next = original
    toy_run(tmp_path, total=2, batch_size=8)  # free again


def test_resuming_with_other_settings_names_the_difference(tmp_path):
    run, _ = toy_run(tmp_path, total=4, batch_size=8)
    path = tmp_path / "checkpoints" / "toy" / "step_00000004" / "state.json"
    content = json.loads(path.read_text())
    assert content["step"] == 4
    run.identity["width"] = 16
    with pytest.raises(UserError, match=r"width: 8 -> 16"):
        run._refuse_differences({"width": 8})


def test_a_fresh_start_keeps_the_old_training_state_aside(tmp_path):
    toy_run(tmp_path, total=4, batch_size=8)
    toy_run(tmp_path, total=2, batch_size=8)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").rglob("step_*"))
    assert kept == ["step_00000002", "step_00000004"]


def test_max_minutes_saves_and_stops(tmp_path):
    with pytest.raises(SystemExit) as stopped:
        toy_run(tmp_path, total=100000, batch_size=8, max_minutes=1e-6)
    assert stopped.value.code == 0
    assert checkpoint.newest(tmp_path / "checkpoints" / "toy").name == "step_00000001"


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    toy_run(tmp_path, dry_run=True)
    assert not list(tmp_path.rglob("*"))
    assert "76 trained parameters" in capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_half_formats_learn_what_fp32_learns(tmp_path, dtype):
    toy_run(tmp_path / "half", total=60, batch_size=8, dtype=dtype, dropout=False)
    toy_run(tmp_path / "full", total=60, batch_size=8, dropout=False)
    half, full = records(tmp_path / "half"), records(tmp_path / "full")
    assert half[-1]["loss"] == pytest.approx(full[-1]["loss"], rel=0.1)
    assert half[-1]["loss"] < 0.5 * half[0]["loss"]
