"""The command lines, files and Python names that other programs rely on, exactly as they are promised."""

import json
import runpy
import subprocess
import sys

import pytest
import torch
from school import REPOSITORY, STAGES

import minimind
from minimind.cli.main import main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """`minimind primer --out DIR --records N`, as one types it."""
    folder = tmp_path_factory.mktemp("primer") / "dataset"
    assert main(["primer", "--out", str(folder), "--records", "300"]) == 0
    return folder


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """The folder into which all stages were trained, one after the other, by the promised flags and no others."""
    folder = tmp_path_factory.mktemp("trained")
    for stage, data in STAGES.items():
        (file,) = dataset.glob(f"*{data}.jsonl")
        words = f"--preset primer --data_path {file} --max_steps 1 --seed 3 --save_dir {folder} --from_resume 1"
        assert main([stage, *words.split()]) == 0
    return folder


def test_the_primer_writes_a_file_for_each_stage(dataset):
    (pretrain,) = dataset.glob("*pretrain*.jsonl")
    assert len(pretrain.read_text(encoding="utf-8").splitlines()) == 300
    for data in (*STAGES.values(), "reason", "lora_identity", "tokenizer"):
        (file,) = dataset.glob(f"*{data}.jsonl")
        assert all(json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())


def test_every_stage_takes_the_same_flags(trained):
    parent = None
    for stage in STAGES:
        card = json.loads((trained / f"{stage}_128.json").read_text(encoding="utf-8"))
        assert (trained / f"{stage}_128.pth").exists()
        assert (card["format"], card["stage"], card["metrics"]["step"]) == (1, stage, 1)
        assert card["config"]["run"]["seed"] == 3 and card["parent"] == parent
        parent = str(trained / f"{stage}_128.pth")
        metrics = (trained / "runs" / f"{stage}_128" / "metrics.jsonl").read_text().splitlines()
        assert {"step", "tokens", "loss", "learning_rate", "seconds"} <= json.loads(metrics[-1]).keys()


def test_the_same_command_again_finds_its_work_done(dataset, trained):
    (file,) = dataset.glob("*pretrain*.jsonl")
    before = torch.load(trained / "pretrain_128.pth", weights_only=True)
    words = f"--preset primer --data_path {file} --max_steps 1 --seed 3 --save_dir {trained} --from_resume 1"
    assert main(["pretrain", *words.split()]) == 0
    after = torch.load(trained / "pretrain_128.pth", weights_only=True)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_weights_load_as_an_object_that_answers(trained):
    bundle = minimind.load(str(trained / "full_sft_128.pth"))
    assert bundle.card["stage"] == "full_sft" and bundle.model.config.hidden_size == 128
    assert bundle.tokenizer.decode(bundle.tokenizer.encode("你好 hello")) == "你好 hello"
    for asked in ("2+3=?", [{"role": "user", "content": "2+3=?"}]):
        assert isinstance(bundle.generate(asked, temperature=0, max_new_tokens=4), str)


def test_a_model_is_made_from_its_numbers():
    config = minimind.ModelConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        vocab_size=50,
        rope_theta=1e4,
        rms_norm_eps=1e-6,
        qk_norm=True,
        max_position_embeddings=64,
    )
    assert minimind.LanguageModel(config)(torch.arange(12).view(2, 6)).logits.shape == (2, 6, 50)


def test_count_prints_one_object(capsys):
    assert main(["count", "--preset", "minimind2-moe", "--json"]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert counted.keys() == {"parameters", "active_parameters", "flops_per_token", "bytes"}
    assert counted["parameters"] == 145_029_760


def test_the_exam_prints_one_report(trained, capsys):
    assert main(["exam", "--weight", str(trained / "full_sft_128.pth"), "--json", "--per_language", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 0 <= report["mean"] <= 1 and len(report["subjects"]) >= 12
    for subject in report["subjects"].values():
        assert {"zh", "en", "score", "stderr", "items"} <= subject.keys()


# the scripts of the spec, with its flags: older spellings in one of them, as they are aliases everywhere
SPEC_FLAGS = (
    "--save_weight {stage} --epochs 1 --batch_size 8 --learning_rate 5e-4 --device cpu --dtype bfloat16 "
    "--num_workers 1 --accumulation_steps 2 --grad_clip 1.0 --log_interval 1 --save_interval 100 --hidden_size 32 "
    "--num_hidden_layers 1 --max_seq_len 256 --use_moe 0 --from_resume 0 --wandb_project MiniMind --use_compile 0 "
    "--max_steps 2 --quiet 1"
)
OWN_SPEC_FLAGS = {
    "pretrain": "--from_weight none",
    "full_sft": "--from_weight pretrain",
    "dpo": "--from_weight full_sft --beta 0.1",
    "grpo": "--from_weight full_sft --num_generations 2 --beta 0.02 --max_gen_len 16 --reasoning 1",
}
OLDER = {"--hidden_size": "--dim", "--num_hidden_layers": "--n_layers", "--save_dir": "--out_dir"}


def spec_words(stage, folder, data):
    (file,) = data.glob(f"*{STAGES[stage]}.jsonl")
    flags = SPEC_FLAGS.format(stage=stage) + " " + OWN_SPEC_FLAGS[stage]
    return [*flags.split(), "--data_path", str(file), "--save_dir", str(folder)]


def run_script(monkeypatch, name, words, folder):
    """The script of trainer/, run from `folder` as `python PATH words`; its status."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [name, *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(REPOSITORY / "trainer" / name), run_name="__main__")
    return ended.value.code


def test_the_scripts_of_the_spec_run_from_the_root_and_from_their_folder(dataset, tmp_path, monkeypatch):
    for stage in STAGES:
        words = spec_words(stage, tmp_path / "out", dataset)
        if stage == "pretrain":
            words = [OLDER.get(word, word) for word in words]
        folder = REPOSITORY if stage in ("pretrain", "dpo") else REPOSITORY / "trainer"
        assert run_script(monkeypatch, f"train_{stage}.py", words, folder) == 0
        assert (tmp_path / "out" / f"{stage}_32.pth").exists()


def test_a_script_needs_no_installation_and_takes_paths_as_seen_from_where_it_is_started(dataset, tmp_path):
    """`cd dataset; python .../trainer/train_tokenizer.py` with relative paths, in a process of its own."""
    words = "--data_path primer_tokenizer.jsonl --vocab_size 320 --save_dir ../tokenizer".split()
    script = REPOSITORY / "trainer" / "train_tokenizer.py"
    done = subprocess.run([sys.executable, str(script), *words], cwd=dataset, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (dataset.parent / "tokenizer" / "tokenizer.json").exists()
