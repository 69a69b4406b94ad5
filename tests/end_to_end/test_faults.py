"""What goes wrong, each with its outcome: one sentence, a status that is not 0, and the last good state untouched.

The faults are provoked through the command line. Those that need a process of their own (signals, a limit on what may
be written) get one; for the others `main` runs here, where an exception that it does not know fails the test.
"""

import json
import os
import re
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from school import differences, minimind, records, state

from minimind.cli.main import main
from minimind.train import checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture
def fails(capsys):
    """fails(words) -> the line that the command ends with, or `lines` of them; its status is 2, stdout stays empty."""

    def run(words, lines=1):
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        output = capsys.readouterr()
        assert output.out == "" and output.err.count("\n") == lines, output
        assert output.err.split("\n")[-2].startswith(f"minimind {words[0]}: ")
        return output.err

    return run


def checkpoints(home):
    return checkpoint.complete(next((home / "checkpoints").glob("*_32")))


def test_a_run_that_is_told_to_stop_saves_and_another_in_its_folder_is_refused(school, tmp_path, fails):
    """While the first run is held up by SIGSTOP a second one is refused by name; then SIGTERM: saved, status 143."""
    flags = ("--max_steps", "25", "--save_interval", "100")
    process = minimind(*school.command("pretrain", tmp_path / "told", *flags))
    metrics = tmp_path / "told" / "runs" / "pretrain_32" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") >= 2):
        time.sleep(0.001)
    process.send_signal(signal.SIGSTOP)
    try:
        refusal = fails(school.command("pretrain", tmp_path / "told", *flags))
        assert re.search(rf"is in use by .*{process.pid}.*another --save_dir", refusal)
    finally:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
    output = process.communicate()
    assert process.returncode == 143 and "Traceback" not in output[1], output
    stopped = records(tmp_path / "told")[-1]["step"]
    assert 2 <= stopped < 25 and state(tmp_path / "told")["step"] == stopped
    assert (tmp_path / "told" / "out" / "pretrain_32.pth").exists()

    school.train("pretrain", tmp_path / "told", *flags, "--from_resume", "1")
    school.train("pretrain", tmp_path / "clean", *flags)
    assert differences(state(tmp_path / "clean"), state(tmp_path / "told")) == []
    assert records(tmp_path / "clean") == records(tmp_path / "told")


def test_a_full_disk_leaves_the_checkpoint_before_it(school, tmp_path):
    """No file may pass 100 kB, the model's checkpoint needs 126 kB: refused, named, nothing half-written, no loss."""
    home = school.stop("pretrain", tmp_path)
    before = state(home)
    limit = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))}
    process = minimind(*school.command("pretrain", home, "--from_resume", "1"), **limit)
    output, errors = process.communicate()
    assert (process.returncode, output) == (2, "")
    sentence = r"minimind pretrain: could not write the checkpoint \S+step_00000002: .*File too large.* "
    assert re.fullmatch(sentence + r"\(about [\d,]+ bytes needed, [\d,]+ free\); the previous .* untouched\.\n", errors)
    assert differences(before, state(home)) == []
    folders = [path.name for path in (home / "checkpoints" / "pretrain_32").iterdir() if path.is_dir()]
    assert folders == ["step_00000001"]


BOUNDARIES = [(checkpoint, "save_file"), (os, "fsync"), (os, "rename"), (os, "unlink"), (os, "rmdir"), (Path, "mkdir")]


def save_and_die(folder, step, calls):
    """Saves a checkpoint in a process that ends by SIGKILL before its `calls`-th call that changes the disk.

    Returns whether it came that far.
    """
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = [calls]

    def counted(original):
        def call(*arguments, **settings):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*arguments, **settings)

        return call

    for owner, name in BOUNDARIES:
        setattr(owner, name, counted(getattr(owner, name)))
    checkpoint.save(folder, step, {"model": {"weight": torch.full((9,), float(step))}, "data": {"at": step}}, keep=2)
    os._exit(0)


def test_a_kill_at_any_moment_of_saving_leaves_a_whole_checkpoint(tmp_path):
    """The newest checkpoint is the one before or the one being saved, never half of one; leftovers are swept up."""
    for step in (1, 2):
        assert not save_and_die(tmp_path, step, calls=0)
    calls = 1
    while save_and_die(tmp_path, 2 + calls, calls):
        step, states = checkpoint.load(checkpoint.newest(tmp_path))
        assert 2 <= step <= 2 + calls and states["model"]["weight"].eq(step).all() and states["data"] == {"at": step}
        checkpoint.clean(tmp_path)
        assert all(path.name.startswith("step_") for path in tmp_path.iterdir())
        calls += 1
    assert calls > 12


def test_weights_that_are_not_finite_stop_before_the_first_update(school, tmp_path, fails):
    weights = torch.load(school.weights("pretrain"), weights_only=True)
    weights["model.norm.weight"][3] = float("nan")
    (tmp_path / "from").mkdir()
    torch.save(weights, tmp_path / "from" / "pretrain_32.pth")
    card = json.loads(school.weights("pretrain").with_suffix(".json").read_text())
    card["tokenizer"] = str(school.folder / "out" / card["tokenizer"])
    (tmp_path / "from" / "pretrain_32.json").write_text(json.dumps(card))
    words = school.command("full_sft", tmp_path, "--from_weight", str(tmp_path / "from" / "pretrain_32.pth"))
    sentence = fails(words)
    assert re.search(r'step 1: the loss is not finite \(loss nan,.*"cursor": \[0, 0, 0\].*no checkpoint yet', sentence)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("rate", "what"), [("1e37", "is not finite"), ("1e39", "are no longer finite")])
def test_a_learning_rate_that_is_far_too_high_leaves_a_good_checkpoint(school, tmp_path, fails, rate, what):
    """1e37: step 2 changes every weight by about that, so step 3 overflows. 1e39 overflows in the update itself."""
    flags = ("--max_steps", "6", "--optimizer", "adamw", "--schedule", "constant", "--warmup_steps", "0")
    home = school.stop("pretrain", tmp_path, *flags, "--learning_rate", "1e-3")
    sentence = fails(school.command("pretrain", home, *flags, "--learning_rate", rate, "--from_resume", "1"))
    assert what in sentence and "step_0000000" in sentence and "Lower --learning_rate" in sentence
    assert all(weight.isfinite().all() for weight in state(home)["model"].values())


def truncate(path):
    path.write_bytes(path.read_bytes()[:1000])
    return path


def a_copy(school, folder):
    """Weights of the school with their card, in a folder where they may be damaged."""
    folder.mkdir()
    for suffix in (".pth", ".json"):
        shutil.copy(school.weights("pretrain").with_suffix(suffix), folder)
    card = json.loads((folder / "pretrain_32.json").read_text())
    shutil.copytree(school.folder / "out" / card["tokenizer"], folder / card["tokenizer"])
    return folder / "pretrain_32.pth"


MISTAKES = {
    "no such file": ("pretrain", lambda s, t: ["--data_path", t / "none.jsonl"], r"none\.jsonl"),
    "a wrong flag": ("pretrain", lambda s, t: ["--learning_rat", "1"], r"--learning_rat: did you mean --learning_rate"),
    "a wrong value": ("dpo", lambda s, t: ["--loss_type", "sigmod"], r"--loss_type: .*did you mean sigmoid"),
    "no such weights": ("full_sft", lambda s, t: ["--from_weight", "pretran"], r"no weights pretran_SIZE\.pth in"),
    "weights of another size": ("full_sft", lambda s, t: ["--hidden_size", "64"], r"--hidden_size 64 \(theirs: 32\)"),
    "half a weights file": ("full_sft", lambda s, t: ["--from_weight", truncate(a_copy(s, t / "w"))], "is damaged"),
    "a file in the place of the folder": ("pretrain", lambda s, t: ["--save_dir", s.data("pretrain")], "cannot be"),
    "no such device": ("grpo", lambda s, t: ["--device", "cuda:77"], "--device cuda:77: this machine has no such"),
    "no room for prompts": ("grpo", lambda s, t: ["--max_new_tokens", "95"], "--max_seq_len 96 leaves no room"),
    "no such reward": ("grpo", lambda s, t: ["--rewards", "anser=1"], "unknown reward 'anser'"),
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_a_mistake_is_answered_in_one_sentence(school, tmp_path, fails, mistake):
    stage, flags, sentence = MISTAKES[mistake]
    words = school.command(stage, tmp_path / "run", *map(str, flags(school, tmp_path)))
    assert re.search(sentence, fails(words))
    assert not (tmp_path / "run" / "out").exists() and not (tmp_path / "run" / "runs").exists()


def test_a_mistake_in_a_process_of_its_own_shows_no_traceback(school, tmp_path):
    process = minimind(*school.command("pretrain", tmp_path, "--data_path", "none.jsonl"), cwd=tmp_path)
    output, errors = process.communicate()
    assert (process.returncode, output) == (2, "")
    assert errors.startswith("minimind pretrain: ") and errors.count("\n") == 1 and "none.jsonl" in errors


def test_resuming_with_other_data_or_another_model_names_the_difference(school, tmp_path, fails):
    home = school.stop("dpo", tmp_path)
    words = school.command("dpo", home, "--from_resume", "1")
    assert "max_seq_len: 96 -> 80" in fails([*words, "--max_seq_len", "80"])
    assert "data: " in fails([*words, "--data_path", str(broken_pairs(tmp_path / "pairs.jsonl", school))])
    other = school.weights("pretrain")
    sentence = fails([*words, "--from_weight", str(other)])
    assert "starting_weights: " in sentence and "from_weight: full_sft_32.pth -> pretrain_32.pth" in sentence


def broken_pairs(path, school):
    """The school's pairs without the last."""
    path.write_text("".join(school.data("dpo").read_text(encoding="utf-8").splitlines(True)[:-1]), encoding="utf-8")
    return path


def test_checkpoints_that_are_all_damaged_are_refused(school, tmp_path, fails):
    home = school.stop("full_sft", tmp_path)
    for path in checkpoints(home):
        truncate(path / "model.safetensors")
    words = school.command("full_sft", home, "--from_resume", "1")
    passed_over, sentence = fails(words, lines=2).splitlines()
    assert "model.safetensors has 1000 bytes instead of" in passed_over
    assert "can be used: all 1 are damaged" in sentence


@pytest.mark.parametrize("stage", ["pretrain", "grpo"])
def test_bad_records_are_named_and_too_many_of_them_refused(school, tmp_path, capsys, fails, stage):
    """Line 100 breaks off: of 150 records and more it is skipped, of 100 it is more than the 1 % allowed."""
    lines = school.data(stage).read_text(encoding="utf-8").splitlines() * 5
    few, many = tmp_path / "few.jsonl", tmp_path / "many.jsonl"
    few.write_text("\n".join([*lines[:99], "{", *lines[99:]]), encoding="utf-8")
    many.write_text("\n".join([*lines[:98], "{", "{"]), encoding="utf-8")
    school.train(stage, tmp_path / stage, "--quiet", "0", "--dry_run", "1", "--data_path", str(few))
    errors = capsys.readouterr().err
    assert re.search(r"1 of \d+ records are bad", errors) and "few.jsonl:100: broken JSON" in errors
    refusal = fails(school.command(stage, tmp_path / stage, "--data_path", str(many)), lines=3)
    assert "2 of 100 records are bad" in refusal and "many.jsonl:99: broken JSON" in refusal
