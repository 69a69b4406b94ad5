"""Every stage, resumed, accumulated, shared among ranks, in half precision, with experts: the same mathematics.

All runs are of the command line, on a small school (see support/school.py). "The same" is to the last bit where nothing
but time may differ, and to rounding where sums are taken in another order.
"""

import json
import random
import signal
import time
from pathlib import Path

import pytest
from school import STAGES, differences, distance, losses, minimind, records, state

pytestmark = pytest.mark.slow
each_stage = pytest.mark.parametrize("stage", list(STAGES))
ROUNDING = 1e-5  # of fp32 sums in another order, against the largest entry


@pytest.fixture(scope="module")
def plain(school, tmp_path_factory):
    """plain(stage) -> the folder of an undisturbed run of 6 steps of 8 rows."""
    runs = {}

    def run(stage):
        if stage not in runs:
            runs[stage] = school.train(stage, tmp_path_factory.mktemp(stage))
            useful = [record.get("useful_prompts", 1) for record in records(runs[stage])]
            assert any(useful), "every group of replies scored the same: there is nothing to learn from"
        return runs[stage]

    return run


@each_stage
def test_a_run_that_was_killed_ends_as_one_that_was_not(school, tmp_path, stage):
    """SIGKILL between two random steps, or inside one, or while saving; dropout is on, so chance must resume too."""
    flags = ("--max_steps", "14", "--dropout", "0.1")
    number, delay = random.randrange(1, 13), random.uniform(0, 0.03)
    process = minimind(*school.command(stage, tmp_path / "killed", *flags))
    metrics = tmp_path / "killed" / "runs" / f"{stage}_32" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and f'"step": {number},' in metrics.read_text()):
        time.sleep(0.001)
    time.sleep(delay)
    process.kill()
    output = process.communicate()
    assert process.returncode in (-signal.SIGKILL, 0), output
    school.train(stage, tmp_path / "killed", *flags, "--from_resume", "1")
    school.train(stage, tmp_path / "clean", *flags)

    place = f"killed {delay * 1000:.0f} ms after step {number}"
    assert differences(state(tmp_path / "clean"), state(tmp_path / "killed")) == [], place
    assert records(tmp_path / "clean") == records(tmp_path / "killed"), place
    assert len(records(tmp_path / "clean")) == 14


@each_stage
@pytest.mark.parametrize(("rows", "accumulation"), [(1, 8), (2, 4)])
def test_accumulation_does_not_change_the_mathematics(school, tmp_path, plain, stage, rows, accumulation):
    flags = ["--batch_size", str(rows), "--accumulation_steps", str(accumulation)]
    if stage == "grpo":  # there the rows of a micro-batch are packed replies, and batch_size counts prompts
        flags += ["--micro_rows", str(rows)]
    run = school.train(stage, tmp_path, *flags)
    assert losses(run).tolist() == pytest.approx(losses(plain(stage)).tolist(), rel=1e-4, abs=1e-5)
    assert distance(state(run)["model"], state(plain(stage))["model"]) < ROUNDING


@pytest.fixture(scope="module")
def two_ranks(school, tmp_path_factory):
    """The folders of all stages run by two ranks of 4 rows, of runs that were stopped there after one step, and of a
    run with dropout that was not stopped and one that was and went on."""
    home = tmp_path_factory.mktemp("ranks")
    both = ["--batch_size", "4"]
    commands = [school.command(stage, home / stage, *both) for stage in STAGES]
    commands += [school.command(stage, home / f"{stage}_stopped", *both, "--max_minutes", "1e-9") for stage in STAGES]
    dropout, stop, resume = ("--dropout", "0.1"), ("--max_minutes", "1e-9"), ("--from_resume", "1")
    for folder, *flags in (("clean", *dropout), ("torn", *dropout, *stop), ("torn", *dropout, *resume)):
        commands.append(school.command("full_sft", home / folder, *both, *flags))
    (home / "commands.json").write_text(json.dumps(commands))
    script = str(Path(__file__).with_name("in_ranks.py"))
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script)
    process = minimind(str(home / "commands.json"), module=torchrun)
    output = process.communicate(timeout=500)
    assert process.returncode == 0, output
    return home


@each_stage
def test_two_ranks_are_as_one(two_ranks, plain, stage):
    shared, alone = records(two_ranks / stage), records(plain(stage))
    assert [record.keys() for record in shared] == [record.keys() for record in alone]
    for ours, theirs in zip(shared, alone, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    assert distance(state(two_ranks / stage)["model"], state(plain(stage))["model"]) < ROUNDING


def test_two_ranks_resume_with_their_own_chance(two_ranks):
    """Each rank drops out other activations than the other, and after a resume the same as it would have."""
    clean, torn = two_ranks / "clean", two_ranks / "torn"
    assert differences(state(clean), state(torn)) == [] and records(clean) == records(torn)
    first, second = state(clean)["run"]["random"]
    assert differences(first["torch"], second["torch"]) != []


@each_stage
def test_one_rank_goes_on_where_two_stopped(school, two_ranks, plain, stage):
    home = two_ranks / f"{stage}_stopped"
    assert [record["step"] for record in records(home)] == [1]
    school.train(stage, home, "--from_resume", "1")
    assert [record["tokens"] for record in records(home)] == [record["tokens"] for record in records(plain(stage))]
    assert distance(state(home)["model"], state(plain(stage))["model"]) < ROUNDING


@each_stage
def test_bf16_is_near(school, tmp_path, plain, stage):
    """The products have 8 bits of mantissa; the weights and the optimizer stay in fp32."""
    run = school.train(stage, tmp_path, "--dtype", "bfloat16")
    assert losses(run).tolist() == pytest.approx(losses(plain(stage)).tolist(), rel=0.05, abs=0.05)
    assert {str(weight.dtype) for weight in state(run)["model"].values()} == {"torch.float32"}


@each_stage
def test_layers_computed_twice_are_the_same_layers(school, tmp_path, plain, stage):
    run = school.train(stage, tmp_path, "--activation_checkpointing", "1")
    assert records(run) == records(plain(stage))
    assert differences(state(plain(stage))["model"], state(run)["model"]) == []


@each_stage
def test_experts_learn(school, tmp_path, stage):
    """A mixture of experts from nothing: it runs, its name says so, and resuming it changes nothing."""
    flags = ["--from_weight", "none", "--use_moe", "1", "--max_steps", "4", *school.new_model()]
    clean = school.train(stage, tmp_path / "clean", *flags)
    school.stop(stage, tmp_path / "stopped", *flags)
    resumed = school.train(stage, tmp_path / "stopped", *flags, "--from_resume", "1")
    assert (clean / "out" / f"{stage}_32_moe.pth").exists()
    assert any(".experts.3." in name for name in state(clean)["model"])
    assert records(clean) == records(resumed) and differences(state(clean), state(resumed)) == []


@each_stage
def test_a_dry_run_writes_nothing(school, tmp_path, capsys, stage):
    school.train(stage, tmp_path / "dry", "--dry_run", "1")
    assert not (tmp_path / "dry").exists()
    assert f"plan of {stage}_32" in capsys.readouterr().out
