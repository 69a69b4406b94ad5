"""`minimind chat` and `eval_llm.py`, through pipes and through their functions, with a random tiny model."""

import dataclasses
import io
import json
import subprocess
import sys

import pytest
import torch

from minimind.bundle import load
from minimind.cli import chat, eval_llm
from minimind.cli.chat import Chat
from minimind.cli.main import main
from minimind.cli.talk import Conversation
from minimind.model.config import ModelConfig
from minimind.model.language_model import LanguageModel
from minimind.model.store import save_weights
from minimind.tokenizer import Tokenizer


def write(folder, stage, **changes):
    torch.manual_seed(3)
    tokenizer = Tokenizer.load()
    shape = dict(vocab_size=tokenizer.vocab_size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4)
    config = ModelConfig(**{**shape, **changes})
    path = folder / f"{stage}_32.pth"
    save_weights(LanguageModel(config), path)
    card = {"format": 1, "stage": stage, "model": dataclasses.asdict(config), "tokenizer": "default"}
    path.with_suffix(".json").write_text(json.dumps(card | {"tokenizer_hash": tokenizer.hash}))
    return path


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    for stage in ("pretrain", "full_sft", "reason"):
        write(folder, stage)
    return folder


def command(monkeypatch, capsys, argv, lines):
    """(exit status, output, errors) of `minimind {argv}` with the lines in its pipe."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    status = main([str(word) for word in argv])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def talk(out):
    """A chat whose answers are short; said() is what was printed since the last call."""
    written = io.StringIO()
    conversation = Conversation(load(out / "full_sft_32.pth"), {"temperature": 0, "max_new_tokens": 5}, seed=1)
    talk = Chat(conversation, written)

    def said(*lines):
        written.seek(0)
        written.truncate()
        talk.run(iter(lines))
        return written.getvalue()

    talk.said = said
    return talk


def test_pipe(monkeypatch, capsys, out):
    argv = ["chat", "--save_dir", out, "--weight", "full_sft", "--temperature", 0, "--max_new_tokens", 6]
    status, output, _ = command(monkeypatch, capsys, argv, ["Hello", "/speed off", "你好", "/exit", "never answered"])
    assert status == 0 and output.count("tokens/s]") == 1 and "(speed off)" in output
    assert command(monkeypatch, capsys, argv, ["Hello"])[1].splitlines()[0] == output.splitlines()[0]


def test_history_system_and_reset_change_the_prompt(talk):
    talk.said("one", "two")
    conversation = talk.conversation
    assert [message["role"] for message in conversation.messages] == ["user", "assistant"] * 2
    assert len(conversation.prompt("three")) == 5
    talk.said("/history 2", "/system Be kind.")
    given = conversation.prompt("three")
    assert [message["content"] for message in given[:2]] == ["Be kind.", "two"] and len(given) == 4
    assert "0 messages" in talk.said("/history 0") and len(conversation.prompt("three")) == 2
    talk.said("/history all", "/system", "/reset")
    assert conversation.prompt("three") == [{"role": "user", "content": "three"}]


def test_settings(talk):
    talk.said("/temperature 0.5", "/top_p 0.9", "/think on", "/speed off")
    conversation = talk.conversation
    assert conversation.sampling == {"temperature": 0.5, "top_p": 0.9, "max_new_tokens": 5}
    assert conversation.thinking is True and conversation.show_speed is False
    talk.said("/think auto")
    assert conversation.thinking is None
    assert "/temperature" in talk.said("/help") and "/exit" in talk.said("/help")


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("/temprature 1", "did you mean /temperature?"),
        ("/temperature warm", "needs a number"),
        ("/temperature -1", "at least 0"),
        ("/top_p 0", "above 0"),
        ("/think maybe", "on or off or auto"),
        ("/history some", "needs a number"),
        ("/save", "needs the name"),
        ("/save /nowhere/at/all", "could not write"),
    ],
)
def test_mistakes_are_sentences_and_change_nothing(talk, line, answer):
    before = dict(talk.conversation.sampling)
    assert answer in talk.said(line) and talk.conversation.sampling == before and not talk.left


def test_save_writes_a_training_record(talk, tmp_path):
    file = tmp_path / "talk.jsonl"
    talk.said("/system Be kind.", "Hi", f"/save {file}", "/reset", "Ho", f"/save {file}")
    records = [json.loads(line)["conversations"] for line in file.read_text().splitlines()]
    assert [message["role"] for message in records[0]] == ["system", "user", "assistant"]
    assert records[0][1]["content"] == "Hi" and records[1][1]["content"] == "Ho"


def test_ctrl_c_stops_the_answer_and_not_the_chat(talk):
    class Interrupting(io.StringIO):
        def write(self, text):
            if self.pieces == 2:
                self.pieces += 1
                raise KeyboardInterrupt
            self.pieces += 1
            return super().write(text)

    talk.out = Interrupting()
    talk.out.pieces = 0
    talk.conversation.sampling["max_new_tokens"] = 50
    talk.run(iter(["Tell me"]))
    assert "(stopped)" in talk.out.getvalue() and len(talk.conversation.messages) == 2
    talk.out = io.StringIO()
    talk.run(iter(["And now?"]))
    assert len(talk.conversation.messages) == 4


def test_ctrl_c_at_the_prompt_goes_on(monkeypatch, capsys):
    typed = iter([KeyboardInterrupt, "hello", EOFError])

    def answer(_):
        word = next(typed)
        if isinstance(word, str):
            return word
        raise word

    monkeypatch.setattr("builtins.input", answer)
    assert list(chat.questions(interactive=True)) == ["hello"]
    assert "/exit leaves" in capsys.readouterr().out


def test_a_window_that_is_full_says_so(tmp_path):
    path = write(tmp_path, "full_sft", max_position_embeddings=96)
    written = io.StringIO()
    conversation = Conversation(load(path), {"temperature": 0, "max_new_tokens": 16}, seed=1)
    talk = Chat(conversation, written)
    talk.run(iter(["What is the weather like today?"] * 8))
    assert "oldest messages" in written.getvalue()
    talk.run(iter(["word " * 200]))
    assert "only 80 fit" in written.getvalue()


def test_newest_weights_by_default(monkeypatch, capsys, out, tmp_path):
    argv = ["chat", "--temperature", 0, "--max_new_tokens", 2, "--save_dir"]
    assert command(monkeypatch, capsys, [*argv, out], ["Hi"])[0] == 0
    status, _, errors = command(monkeypatch, capsys, [*argv, tmp_path], ["Hi"])
    assert status == 2 and "no weights that can chat" in errors and errors.count("\n") == 1


def test_eval_asks_eight_questions(monkeypatch, capsys, out):
    argv = ["eval", "--save_dir", out, "--temperature", 0, "--max_new_tokens", 3]
    status, output, _ = command(monkeypatch, capsys, argv, ["0"])
    assert status == 0 and "[0]" in output and "[1]" in output
    assert output.count("tokens/s]") == 8 and all(f"> {question}" in output for question in eval_llm.QUESTIONS)
    status, output, _ = command(monkeypatch, capsys, [*argv, "--weight", "pretrain", "--show_speed", 0], ["0"])
    assert all(f"> {text}" in output for text in eval_llm.BEGINNINGS) and "tokens/s" not in output


def test_eval_manual_and_older_spellings(monkeypatch, capsys, out):
    argv = ["eval", "--out_dir", out, "--dim", 32, "--n_layers", 2, "--model_mode", 3, "--history_cnt", 2]
    status, output, _ = command(monkeypatch, capsys, [*argv, "--max_new_tokens", 2], ["1", "Hi", "Ho", ""])
    assert status == 0 and output.count("tokens/s]") == 2 and "reason_32.pth" in output


def test_eval_thinks_for_reason(out):
    def opened(*argv):
        config = eval_llm.parse(eval_llm.Config(), ["--save_dir", str(out), *argv], command="")
        return eval_llm.open_conversation(config)

    assert opened("--weight", "reason").thinking is True
    assert opened().thinking is None and opened("--open_thinking", "1").thinking is True
    assert opened("--inference_rope_scaling").bundle.model.config.inference_rope_scaling is True
    assert opened("--load_from", str(out / "pretrain_32.pth")).bundle.only_pretrained


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--historys", 3], "even number"),
        (["--num_hidden_layers", 4], "theirs: 2"),
        (["--weight", "grpo"], "no weights grpo_SIZE.pth"),
        (["--lora_weight", "lora_medical"], "no adapter"),
        (["--device", "cuda:7"], "no such device"),
        (["--top_p", 0], "above 0"),
        (["--temprature", 1], "did you mean --temperature"),
    ],
)
def test_eval_mistakes(monkeypatch, capsys, out, flags, message):
    status, _, errors = command(monkeypatch, capsys, ["eval", "--save_dir", out, *flags], ["0"])
    assert status == 2 and message in errors and errors.count("\n") == 1


def test_script_runs_from_any_folder(repository, out, tmp_path):
    """The one test that starts a process: paths mean files as seen from the user's folder."""
    script = [sys.executable, str(repository / "eval_llm.py"), "--save_dir", str(out), "--max_new_tokens", "2"]
    done = subprocess.run(script, input="1\nHi\n\n", capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 0 and "full_sft_32.pth" in done.stdout, done.stderr
