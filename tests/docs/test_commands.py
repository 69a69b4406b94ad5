"""Every command and every Python block of the READMEs and the docs is run, or read by the command's own parser.

Each page is followed from top to bottom in a folder that looks as after a speedrun, with weights of one layer that
learned nothing. A stage is run as a dry run, which reads flags, data and parent weights, and then leaves such weights
behind as if it had trained, so that the next command finds them. Everything else is really run, with few questions and
short answers; only the pictures of curves, which have tests of their own, are not drawn.
"""

import io
import json
import os
import re
import shlex
import shutil
import textwrap
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch

from minimind import presets
from minimind.cli import main as cli
from minimind.config import parse, to_dict
from minimind.data.primer.exam import exam_items
from minimind.lineage import begin, publisher
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.model.store import save_weights
from minimind.runtime.paths import home_of, write_atomically
from minimind.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted((ROOT / "docs").glob("*.md"))]
TWIN = "README.zh-CN.md"  # names the commands of README.md, which a test below makes sure of
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", flags=re.MULTILINE | re.DOTALL)

# What a command is given beside its own flags, so that it takes a moment.
QUICK = {
    "exam": ["--per_language", "1", "--max_new_tokens", "2"],
    "chat": ["--max_new_tokens", "4"],
    "eval": ["--max_new_tokens", "4"],
    "primer": ["--records", "60"],
}
NOT_RUN = {
    "python3 -m venv .venv": "makes an environment; the Makefile does the same in every continuous integration run",
    "source .venv/bin/activate": "changes the shell that it is typed into",
    "pip install -c constraints.txt -e '.[plots]'": "needs a network; the Makefile installs the same",
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """(line, content) of the fenced blocks of one language."""
    text = page.read_text(encoding="utf-8")
    found = [match for match in FENCE.finditer(text) if match[2] == language]
    return [(text.count("\n", 0, match.start()) + 2, textwrap.dedent(match[3])) for match in found]


def commands(page: Path) -> list[str]:
    """The command lines of a page, in order."""
    lines = [line for _, block in blocks(page, "bash") for line in block.replace("\\\n", "").splitlines()]
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def save_untrained(stage: str, config) -> None:
    """What training by `config` would leave behind: weights (of one layer), tokenizer, card and metrics."""
    origin = begin(stage, config.model, config.run)
    origin = replace(origin, config=replace(origin.config, num_hidden_layers=1))
    publisher(origin, LanguageModel(origin.config), {"config": to_dict(config)})({})
    records = "".join(json.dumps({"step": step, "loss": 2.0 / step}) + "\n" for step in (1, 2))
    runs = Path(config.run.runs_dir or home_of(config.run.save_dir) / "runs")
    write_atomically(runs / origin.name / "metrics.jsonl", records)


@pytest.fixture(scope="module", autouse=True)
def quick_parts():
    """The primer with a short exam, and curves that are found but not drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("minimind.data.primer.write.exam_items", lambda: exam_items(1))
        patch.setattr("minimind.plots.curves.draw", lambda runs, picture: picture.write_bytes(b""))
        yield


@pytest.fixture(scope="module")
def after_a_speedrun(tmp_path_factory):
    """A folder with data, weights of every stage, a report card, own data, and public weights."""
    folder = tmp_path_factory.mktemp("after_a_speedrun")
    before = Path.cwd()
    os.chdir(folder)
    try:
        torch.manual_seed(0)
        assert cli.main(["primer", "--out", "dataset", "--records", "60"]) == 0
        shutil.copy("dataset/primer_pretrain.jsonl", "dataset/pretrain_t2t_mini.jsonl")
        for stage in ("pretrain", "full_sft", "dpo", "grpo"):
            save_untrained(stage, presets.get(stage, "primer"))
        write_atomically("runs/speedrun/report_card.json", json.dumps({"stages": [{"name": "full_sft", "seconds": 1}]}))
        Path("mydata").mkdir()
        for own, kind in {"text1": "pretrain", "chat": "sft", "pairs": "dpo", "tasks": "grpo"}.items():
            shutil.copy(f"dataset/primer_{kind}.jsonl", f"mydata/{own}.jsonl")
        save_weights(LanguageModel(ModelConfig()), "weights/full_sft_512.pth")
        Tokenizer.load().save("MiniMind2")
        small = ModelConfig(hidden_size=64, num_hidden_layers=1)
        save_weights(LanguageModel(small), "MiniMind2/model.safetensors")
        write_atomically("MiniMind2/config.json", json.dumps({"num_attention_heads": 8}))
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def world(after_a_speedrun, tmp_path, monkeypatch):
    """A copy of that folder to work in. Hard links, because every file of ours is replaced and never changed."""
    folder = tmp_path / "world"
    shutil.copytree(after_a_speedrun, folder, copy_function=os.link)
    monkeypatch.chdir(folder)
    return folder


def follow(line: str, monkeypatch) -> None:
    """Runs one command line, its pipe included."""
    if line in NOT_RUN:
        return
    typed = ""
    for part in re.split(r" \| ", line):
        program, *words = shlex.split(part)
        assert program in PROGRAMS, f"no test knows how to run {program!r}"
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        typed = PROGRAMS[program](words) or ""


def echo(words: list[str]) -> str:
    return " ".join(words) + "\n"


def head(words: list[str]) -> None:
    assert Path(words[-1]).read_text(encoding="utf-8")


def make(words: list[str]) -> None:
    """The target must exist, and ARGS must be right for it."""
    target, *settings = words
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for setting in settings:
        name, _, value = setting.partition("=")
        assert name == "ARGS" and target == "speedrun", f"nothing here checks make {target} {name}="
        minimind(["speedrun", *shlex.split(value)])


def torchrun(words: list[str]) -> None:
    """The same command with one rank."""
    assert words[0] == "--nproc_per_node" and words[1].isdecimal()
    if words[2] == "-m":
        assert words[3] == "minimind"
        minimind(words[4:])
    else:
        python(words[2:])


def python(words: list[str]) -> None:
    """A script of the repository, by the command that it names in its source."""
    script = (ROOT / words[0]).read_text(encoding="utf-8")
    command = re.search(r'run_from_root\("(\w+)"', script)
    assert command, f"{words[0]} calls no command"
    minimind([command[1], *words[1:]])


def minimind(words: list[str]) -> None:
    name, *argv = words
    command = cli.find(name)
    assert command, f"there is no command {name}"
    if "--help" in argv:
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code == 0
        return
    module = import_module(command.module)
    if command.name == "speedrun":
        parse(module.Config(), argv, command=name)
    elif command.is_stage and command.name != "tokenizer":
        assert cli.main([*words, "--dry_run", "1"]) == 0
        config = parse(module.Config(), argv, command=name, preset=lambda chosen: presets.get(command.name, chosen))
        save_untrained(command.name, config)
    else:
        assert cli.main([*words, *QUICK.get(command.name, [])]) == 0


PROGRAMS = {"minimind": minimind, "python": python, "torchrun": torchrun, "make": make, "echo": echo, "head": head}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != TWIN], ids=name_of)
def test_commands_of_a_page(page, world, monkeypatch, capsys):
    for line in commands(page):
        try:
            follow(line, monkeypatch)
        except Exception as error:
            raise AssertionError(f"{page.name}: {line}: {error}\n{capsys.readouterr().err}") from error
    names: dict = {"__name__": "__main__"}
    for start, block in blocks(page, "python"):
        exec(compile("\n" * (start - 1) + block, str(page), "exec"), names)  # errors name the page's own line


def test_every_exception_is_needed():
    """No command is left out that no page has, and every kind of shell block is read."""
    everything = {line for page in PAGES for line in commands(page)}
    assert set(NOT_RUN) <= everything
    for page in PAGES:
        assert not {"sh", "shell", "console", "py"} & {match[2] for match in FENCE.finditer(page.read_text("utf-8"))}


def test_both_readmes_name_the_same_commands():
    english, chinese = PAGES[:2]
    assert commands(english) == commands(chinese)
    contents = [[block for _, block in blocks(page, "python")] for page in (english, chinese)]
    assert contents[0] == contents[1]
