"""`minimind chat`: a conversation in the terminal, or through a pipe."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from minimind.cli.talk import Conversation, check_sampling, describe, open_bundle
from minimind.config import UserError, flag, nearest, parse


@dataclass
class Config:
    weight: str = flag("", "weights to talk to: a stage's name or a path; empty: the newest that can chat")
    lora_weight: str = flag("none", "LoRA adapter to merge: a name in {save_dir}/lora, a path, or none", "--lora_name")
    system: str = flag("", "system prompt")
    temperature: float = flag(0.85, "divides the logits; 0 always says the most probable", minimum=0)
    top_p: float = flag(0.85, "sample from the most probable tokens that together reach this", minimum=0, maximum=1)
    top_k: int = flag(0, "sample from this many most probable tokens; 0: from all", minimum=0)
    repetition_penalty: float = flag(1.0, "above 1: tokens said before become less probable", minimum=0.01)
    max_new_tokens: int = flag(1024, "longest answer in tokens", minimum=1)
    history: int | None = flag(None, "messages sent along with a question; none: all that fit", "--historys", minimum=0)
    thinking: str = flag(
        "auto", "on: ask it to think, off: not to, auto: leave it alone", choices=("on", "off", "auto")
    )
    speed: bool = flag(True, "show tokens per second after each answer", "--show_speed")
    seed: int | None = flag(None, "makes the answers repeatable; none: different every time")
    save_dir: str = flag("out", "folder of the weights", "--out_dir")
    hidden_size: int | None = flag(None, "width of the weights, where several of one name exist", "--dim", minimum=1)
    use_moe: bool | None = flag(None, "take the weights with a mixture of experts, where both kinds exist")
    tokenizer: str = flag("", "folder of the tokenizer; empty: the weights' own")
    device: str = flag("auto", "auto, cpu, cuda, cuda:0 or mps")


THINKING = {"on": True, "off": False, "auto": None}


def main(argv: list[str]) -> int:
    config = parse(
        Config(),
        argv,
        command="minimind chat",
        description="Talks with a model; answers appear as they are made. Inside, /help lists the commands. "
        "Questions may also come through a pipe, one a line.",
        examples="minimind chat\nminimind chat --weight dpo --temperature 0.7\n"
        "echo 'What is the capital of France?' | minimind chat --temperature 0",
    )
    conversation = open_conversation(config)
    interactive = sys.stdin.isatty()
    if interactive:
        print(f"{describe(conversation.bundle)}. /help lists the commands, Ctrl-D leaves.")
    return Chat(conversation, sys.stdout).run(questions(interactive))


def open_conversation(config: Config) -> Conversation:
    from minimind.bundle import find_weights, newest_weights

    path = (
        find_weights(config.weight, config.save_dir, config.hidden_size, config.use_moe)
        if config.weight
        else newest_weights(config.save_dir)
    )
    names = ("temperature", "top_p", "top_k", "repetition_penalty", "max_new_tokens")
    sampling = check_sampling({name: getattr(config, name) for name in names})
    conversation = Conversation(
        open_bundle(config, path), sampling, config.system, config.history, THINKING[config.thinking], config.speed
    )
    if config.seed is not None:
        conversation.seed = config.seed
    return conversation


def questions(interactive: bool) -> Iterator[str]:
    """Lines that the user types until Ctrl-D; Ctrl-C empties the line. Or the lines of the pipe."""
    if not interactive:
        yield from (line.rstrip("\r\n") for line in sys.stdin)
        return
    try:
        import readline  # noqa: F401 - gives input() a history and line editing
    except ImportError:
        pass  # not on every system, and input() works without
    while True:
        try:
            yield input("> ")
        except KeyboardInterrupt:
            print("  (Ctrl-D or /exit leaves)")
        except EOFError:
            print()
            return


class Chat:
    """Questions and commands, line by line."""

    def __init__(self, conversation: Conversation, out: TextIO) -> None:
        self.conversation, self.out = conversation, out
        self.commands: dict[str, tuple[str, Callable[[str], None]]] = {
            "help": ("", self.help),
            "reset": ("", self.reset),
            "system": ("TEXT", self.system),
            "temperature": ("X", lambda text: self.sample("temperature", text)),
            "top_p": ("X", lambda text: self.sample("top_p", text)),
            "think": ("on|off|auto", self.think),
            "history": ("N|all", self.history),
            "speed": ("on|off", self.speed),
            "save": ("FILE", self.save),
            "exit": ("", self.exit),
        }
        self.left = False

    def run(self, lines: Iterator[str]) -> int:
        """Answers until the lines end or /exit; a mistake is answered by a sentence and the conversation goes on."""
        for line in lines:
            try:
                self.handle(line.strip())
            except UserError as error:
                print(error, file=self.out, flush=True)
            if self.left:
                break
        return 0

    def handle(self, line: str) -> None:
        """One question or command. Raises UserError."""
        if not line:
            return
        if not line.startswith("/"):
            self.conversation.ask(line, self.out)
            return
        name, _, text = line[1:].partition(" ")
        if name not in self.commands:
            near = nearest(name, self.commands)
            raise UserError(f"no command /{name}: {f'did you mean /{near}?' if near else '/help lists them.'}")
        self.commands[name][1](text.strip())

    def say(self, text: str) -> None:
        print(f"({text})", file=self.out, flush=True)

    def help(self, _: str) -> None:
        self.say("commands: " + "  ".join(f"/{name} {form}".strip() for name, (form, _) in self.commands.items()))

    def reset(self, _: str) -> None:
        self.conversation.messages.clear()
        self.say("a new conversation")

    def system(self, text: str) -> None:
        self.conversation.system = text
        self.say(f"the system prompt is now {text!r}" if text else "no system prompt")

    def sample(self, name: str, text: str) -> None:
        try:
            value = float(text)
        except ValueError:
            raise UserError(f"/{name} needs a number, got {text!r}") from None
        self.conversation.sampling = check_sampling({**self.conversation.sampling, name: value})
        self.say(f"{name} {value:g}")

    def think(self, text: str) -> None:
        self.conversation.thinking = THINKING[one_of("/think", text, THINKING)]
        self.say(f"thinking {text}")

    def history(self, text: str) -> None:
        if text != "all" and not text.isdecimal():
            raise UserError(f"/history needs a number of messages or all, got {text!r}")
        self.conversation.history = None if text == "all" else int(text)
        self.say(f"{text} messages are sent along")

    def speed(self, text: str) -> None:
        self.conversation.show_speed = one_of("/speed", text, ("on", "off")) == "on"
        self.say(f"speed {text}")

    def save(self, text: str) -> None:
        if not text:
            raise UserError("/save needs the name of a file")
        system = [{"role": "system", "content": self.conversation.system}] if self.conversation.system else []
        record = {"conversations": system + self.conversation.messages}
        try:
            with open(Path(text).expanduser(), "a", encoding="utf-8") as file:
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
        except OSError as error:
            raise UserError(f"could not write {text}: {error.strerror}") from error
        self.say(f"added the conversation to {text}, as a record for fine-tuning")

    def exit(self, _: str) -> None:
        self.left = True


def one_of(command: str, text: str, choices) -> str:
    if text not in choices:
        raise UserError(f"{command} needs {' or '.join(choices)}, got {text!r}")
    return text
