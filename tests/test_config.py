"""Configurations: what is accepted, what is refused, and how the refusal reads."""

import json
import string
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minimind.config import UserError, flag, from_dict, nearest, parse, to_dict


@dataclass
class Optimizer:
    """How weights move."""

    learning_rate: float = flag(5e-4, "peak learning rate", "lr", minimum=0)
    kind: Literal["adamw", "muon"] = flag("adamw", "which optimizer")


@dataclass
class Settings:
    """All shapes of fields."""

    batch_size: int = flag(32, "rows of a step", minimum=1, maximum=4096)
    use_moe: bool = flag(False, "use experts")
    use_wandb: bool = flag(False, "use a tracker")
    name: str = flag("", "name of the run")
    lora_weight: str | None = flag(None, "adapter", "lora_name", "ddp-lora")
    head_dim: int | None = flag(None, "width of a head", minimum=1)
    dtype: str = flag("auto", "precision", choices=("auto", "bfloat16", "float32"))
    weight: list[str] = flag([], "weights to compare")
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(learning_rate=1e-3))


@dataclass
class Files:
    files: list[str] = flag([], "what to draw", positional=True)
    log: bool = flag(False, "logarithmic axis")


def read(*argv, **keywords):
    return parse(Settings(), argv, command="minimind try", **keywords)


def problems(*argv, **keywords) -> list[str]:
    with pytest.raises(UserError) as caught:
        read(*argv, **keywords)
    return str(caught.value).split("\n")


def test_no_flags_keep_the_values_of_the_instance_given():
    start = Settings(batch_size=7, optimizer=Optimizer(kind="muon"))
    assert parse(start, [], command="x") == start
    assert parse(start, ["--lr", "0.1"], command="x").optimizer == Optimizer(0.1, "muon")
    assert start.optimizer.learning_rate == 5e-4, "the instance given is not changed"


@pytest.mark.parametrize(
    "argv",
    [
        ["--batch_size", "8", "--learning_rate", "1e-4", "--use_moe", "1"],
        ["--batch-size=8", "--learning-rate=0.0001", "--use-moe", "true"],
        ["--batch_size", "99", "--batch_size", "8", "--lr", "1E-4", "--use_moe"],
        ["--use_moe", "--batch_size=0_008", "--lr=.0001"],
        ["--use_moe=yes", "--batch_size", "8", "--lr", "0.0001"],
    ],
)
def test_spellings_of_the_same_settings(argv):
    got = read(*argv)
    assert (got.batch_size, got.optimizer.learning_rate, got.use_moe) == (8, 1e-4, True)


@pytest.mark.parametrize("word", ["0", "false", "False", "no"])
def test_switches_off(word):
    assert parse(Settings(use_moe=True), ["--use_moe", word], command="x").use_moe is False


def test_numbers_with_underscores_and_negative_ones():
    assert read("--batch_size", "4_000").batch_size == 4000
    assert problems("--lr", "-1e-4") == ["--learning_rate: expected a number of at least 0, got '-1e-4'"]


def test_optional_values_can_be_none():
    assert parse(Settings(lora_weight="x"), ["--lora_weight", "None"], command="x").lora_weight is None
    assert read("--head_dim", "64").head_dim == 64
    assert read("--ddp_lora", "medical").lora_weight == "medical"


def test_lists_take_several_words_and_several_flags():
    assert read("--weight", "a", "b", "--batch_size", "2", "--weight=c d").weight == ["a", "b", "c d"]


def test_positional_words_and_a_bare_switch_between_them():
    got = parse(Files(), ["a", "--log", "b", "c"], command="x")
    assert got == Files(files=["a", "b", "c"], log=True)
    assert parse(Files(), ["--log", "0", "b"], command="x") == Files(files=["b"], log=False)


def test_every_problem_is_named_at_once():
    assert problems(
        "--batch_size", "0", "--learning_rat", "3", "--lr", "nan", "--use_moe", "maybe",
        "--kind=muno", "--dtype", "fp99", "stray", "--head_dim", "1.5", "--name",
    ) == [
        "unknown flag --learning_rat: did you mean --learning_rate?",
        "unexpected word 'stray': flags start with --, and a value with spaces needs quotes",
        "--batch_size: expected a whole number of at least 1 and at most 4096, got '0'",
        "--use_moe: expected 0 or 1, got 'maybe'",
        "--name: expected text, got nothing",
        "--head_dim: expected a whole number of at least 1 or none, got '1.5'",
        "--dtype: expected one of auto, bfloat16, float32, got 'fp99'",
        "--learning_rate: expected a number of at least 0, got 'nan'",
        "--kind: expected one of adamw, muon, got 'muno' (did you mean muon?)",
    ]  # fmt: skip


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "ten", "", "1e-4x"])
def test_numbers_that_are_none(value):
    assert problems(f"--lr={value}") == [f"--learning_rate: expected a number of at least 0, got {value!r}"]


def test_flags_are_not_abbreviated():
    assert problems("--batch", "3") == ["unknown flag --batch: did you mean --batch_size?"]


def test_help_is_near_too():
    assert problems("--hlep") == ["unknown flag --hlep: did you mean --help?"]


def test_a_flag_like_nothing():
    assert problems("--zzzzqqq") == ["unknown flag --zzzzqqq: --help lists the flags"]


def test_snapshot_file_then_flags(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(to_dict(Settings(batch_size=5, optimizer=Optimizer(kind="muon")))), encoding="utf-8")
    got = read("--config", str(file), "--batch_size", "6")
    assert (got.batch_size, got.optimizer) == (6, Optimizer(5e-4, "muon"))


def test_snapshot_written_by_hand_is_strict(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"batch_siz": 5, "lr": 1, "kind": "muon", "use_moe": 1, "optimizer": {"kid": "adamw"}}')
    assert problems("--config", str(file)) == [
        f"--config {file}: unknown key 'batch_siz': did you mean 'batch_size'?",
        f"--config {file}: unknown key 'lr'",
        f"--config {file}: use_moe: expected 0 or 1, got 1",
        f"--config {file}: unknown key 'optimizer.kid': did you mean 'kind'?",
    ]
    file.write_text('{"kind": "muon"}')
    assert read("--config", str(file)).optimizer == Optimizer(1e-3, "muon")


@pytest.mark.parametrize("content", ["{", "[1]", '"x"', '{"optimizer": 3}'])
def test_snapshot_that_is_no_object(tmp_path, content):
    file = tmp_path / "config.json"
    file.write_text(content)
    assert len(problems("--config", str(file))) == 1
    assert len(problems("--config", str(tmp_path / "absent.json"))) == 1


def test_preset_comes_before_snapshot_and_flags(tmp_path):
    def preset(name):
        if name != "tiny":
            raise UserError(f"no preset {name!r}")
        return Settings(batch_size=2, name="tiny", use_moe=True)

    file = tmp_path / "config.json"
    file.write_text('{"name": "saved"}')
    got = read("--batch_size", "3", "--config", str(file), "--preset", "tiny", preset=preset)
    assert (got.batch_size, got.name, got.use_moe) == (3, "saved", True)
    assert problems("--preset", "tinny", "--lr", "x", preset=preset) == [
        "no preset 'tinny'",
        "--learning_rate: expected a number of at least 0, got 'x'",
    ]
    assert problems("--preset", "tiny") == ["unknown flag --preset: --help lists the flags"]


def test_errors_of_the_dataclass_itself_reach_the_user():
    @dataclass
    class Heads:
        heads: int = flag(4, "heads")

        def __post_init__(self):
            if self.heads % 2:
                raise UserError("heads must be even")

    with pytest.raises(UserError, match="heads must be even"):
        parse(Heads(), ["--heads", "3"], command="x")


def test_flag_names_may_not_clash():
    @dataclass
    class Clash:
        kind: str = flag("", "again")
        optimizer: Optimizer = field(default_factory=Optimizer)

    with pytest.raises(AssertionError, match="kind"):
        parse(Clash(), [], command="x")


words = st.text(string.ascii_letters + "你好 -_=/.,", max_size=12)
settings = st.builds(
    Settings,
    batch_size=st.integers(1, 4096),
    use_moe=st.booleans(),
    name=words,
    lora_weight=st.none() | words,
    head_dim=st.none() | st.integers(1, 999),
    dtype=st.sampled_from(["auto", "bfloat16", "float32"]),
    weight=st.lists(words, max_size=3),
    optimizer=st.builds(Optimizer, st.floats(0, 1e6), st.sampled_from(["adamw", "muon"])),
)


@given(settings)
def test_dict_and_json_round_trip(config):
    assert from_dict(Settings, json.loads(json.dumps(to_dict(config)))) == config


@given(settings)
def test_command_line_round_trip(config):
    """Every value can be typed: what --flag=value says is what the configuration holds."""
    values = to_dict(config)
    values |= values.pop("optimizer")
    argv = [f"--weight={weight}" for weight in values.pop("weight")]
    argv += [f"--{name}={value}" for name, value in values.items()]
    if config.lora_weight in ("none", "None", "null"):
        return
    assert parse(Settings(), argv, command="x") == config


def test_help_names_every_flag_with_default_alias_and_group(capsys):
    with pytest.raises(SystemExit) as stopped:
        read("--help", description="Tries things.", examples="minimind try --lr 1e-4")
    page = capsys.readouterr().out
    assert stopped.value.code == 0
    for expected in (
        "usage: minimind try",
        "Tries things.",
        "  minimind try --lr 1e-4",
        "\nHow weights move:",
        "peak learning rate (default 0.001; also --lr)",
        "--dtype auto|bfloat16|float32",
        "--use_moe 0|1",
        "width of a head (default none)",
        "--config FILE",
    ):
        assert expected in page
    assert all(len(line) <= 110 for line in page.split("\n"))


def test_nearest():
    assert nearest("pretran", ["pretrain", "dpo"]) == "pretrain"
    assert nearest("xyz", ["pretrain", "dpo"]) is None
