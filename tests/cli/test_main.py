"""The command line as a user types it: the overview, wrong words, exit statuses, scripts from any folder."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from minimind.cli import main as cli
from minimind.cli.commands import COMMANDS
from minimind.cli.script import with_absolute_paths
from minimind.config import UserError, flag


def say(argv, capsys):
    status = cli.main(argv)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_overview_names_every_command_once(capsys):
    status, out, _ = say([], capsys)
    assert status == 0
    for command in COMMANDS:
        assert sum(line.startswith(f"  {command.name:<11}") for line in out.split("\n")) == 1
    assert say(["--help"], capsys)[1] == out


def test_names_and_aliases_are_unique():
    names = [name for command in COMMANDS for name in (command.name, *command.aliases)]
    assert len(names) == len(set(names))
    assert all(example.split("minimind ")[1].split()[0] == c.name for c in COMMANDS for example in c.examples)


def test_unknown_command_names_the_nearest(capsys):
    assert say(["pretran"], capsys) == (2, "", "minimind: unknown command 'pretran': did you mean 'pretrain'?\n")
    assert "lists the commands" in say(["qqq"], capsys)[2]


def test_dashes_and_aliases():
    assert cli.find("full-sft") is cli.find("sft") is cli.find("full_sft")
    assert cli.find("eval_llm").name == "eval"


@pytest.fixture
def fake_stage(monkeypatch):
    """A stage in the place of `pretrain`, and presets; returns the list of configurations it was trained with."""

    @dataclass
    class Config:
        epochs: int = flag(1, "passes", minimum=1)

    trained = []

    def train(config):
        if config.epochs == 13:
            raise UserError("first sentence\nsecond sentence")
        if config.epochs == 14:
            raise KeyboardInterrupt
        if config.epochs == 16:
            raise ModuleNotFoundError("No module named 'swanlab'", name="swanlab")
        if config.epochs == 15:
            raise SystemExit(7)
        trained.append(config)

    stage = ModuleType("minimind.stages.pretrain", "Teaches words.\n\nMore.")
    stage.Config, stage.train = Config, train
    presets = ModuleType("minimind.presets")
    presets.get = lambda name, preset: {("pretrain", "tiny"): Config(epochs=5)}[name, preset]
    monkeypatch.setitem(sys.modules, "minimind.stages.pretrain", stage)
    monkeypatch.setitem(sys.modules, "minimind.presets", presets)
    return trained


def test_a_stage_gets_its_configuration(fake_stage, capsys):
    assert say(["pretrain", "--epochs", "3"], capsys)[0] == 0
    assert say(["pretrain", "--preset", "tiny"], capsys)[0] == 0
    assert [config.epochs for config in fake_stage] == [3, 5]


def test_help_of_a_stage_teaches_by_example(fake_stage, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["pretrain", "--help"])
    page = capsys.readouterr().out
    assert stopped.value.code == 0
    assert "Teaches words." in page
    assert all(example in page for example in cli.find("pretrain").examples)
    assert "--preset NAME" in page


def test_exit_statuses(fake_stage, capsys):
    assert say(["pretrain", "--epochs", "0", "--epoch", "1"], capsys) == (
        2,
        "",
        "minimind pretrain: unknown flag --epoch: did you mean --epochs?\n"
        "minimind pretrain: --epochs: expected a whole number of at least 1, got '0'\n",
    )
    assert say(["pretrain", "--epochs", "13"], capsys) == (
        2,
        "",
        "minimind pretrain: first sentence\nminimind pretrain: second sentence\n",
    )
    assert say(["pretrain", "--epochs", "14"], capsys)[0] == 130
    status, _, err = say(["pretrain", "--epochs", "16"], capsys)
    assert (status, err.split(":")[1]) == (2, " the package swanlab is not installed here")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["pretrain", "--epochs", "15"])
    assert stopped.value.code == 7


def test_scripts_resolve_what_the_user_typed_where_the_user_stands():
    words = "--data_path ../dataset/*.jsonl,b.jsonl --save-dir=out --epochs 2 --from_weight ../out/a_512.pth"
    words += " --weight full_sft --data_path none --out_dir /x --config c.json --lora_weight none"
    assert (
        with_absolute_paths(words.split(), Path("/home/me/trainer"))
        == (
            "--data_path /home/me/dataset/*.jsonl,/home/me/trainer/b.jsonl --save-dir=/home/me/trainer/out --epochs 2 "
            "--from_weight /home/me/out/a_512.pth --weight full_sft --data_path none --out_dir /x "
            "--config /home/me/trainer/c.json --lora_weight none"
        ).split()
    )


def script_names(repository):
    return sorted([*(repository / "trainer").glob("train_*.py"), repository / "scripts" / "train_tokenizer.py"])


def test_every_script_of_the_spec_is_there(repository):
    names = [path.name for path in script_names(repository)]
    expected = ["tokenizer", "tokenizer", "pretrain", "full_sft", "dpo", "grpo"]
    assert sorted(names) == sorted(f"train_{stage}.py" for stage in expected)


@pytest.mark.parametrize("stage", ["tokenizer", "pretrain", "full_sft", "dpo", "grpo"])
def test_scripts_run_from_their_own_folder(repository, stage):
    script = repository / "trainer" / f"train_{stage}.py"
    done = subprocess.run(
        [sys.executable, script.name, "--hlep"], cwd=script.parent, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"minimind {stage}: unknown flag --hlep")


def test_python_dash_m(repository):
    done = subprocess.run(
        [sys.executable, "-m", "minimind", "--version"], cwd=repository / "src", capture_output=True, text=True
    )
    assert done.stdout.startswith("minimind 0."), done.stderr
