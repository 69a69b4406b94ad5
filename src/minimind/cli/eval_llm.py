"""`python eval_llm.py` and `minimind eval`: eight preset questions, or your own, to any weights."""

import sys
from dataclasses import dataclass
from pathlib import Path

from minimind.cli.talk import Conversation, check_sampling, describe, open_bundle, sizes_agree
from minimind.config import UserError, flag, parse

QUESTIONS = (
    "你好，你叫什么名字？",
    "法国的首都是哪座城市？",
    "为什么天空看起来是蓝色的？",
    "请用三句话介绍一下长城。",
    "小明有12个苹果，吃了5个，还剩几个？",
    "What is the capital of Japan?",
    "Explain in one sentence what water is made of.",
    "Write two lines of a poem about the moon.",
)
BEGINNINGS = (
    "长城是",
    "水的化学式是",
    "一年有四个季节，",
    "中国的首都是",
    "从前有一个小女孩，",
    "The capital of France is",
    "Once upon a time there was",
    "The sun rises in the",
)
# What --model_mode of the older scripts meant.
MODES = {"0": "pretrain", "1": "full_sft", "2": "dpo", "3": "reason", "4": "grpo"}
NATIVE = "model"


@dataclass
class Config:
    load_from: str = flag(NATIVE, "model: the weights named below; or a file, or a folder in Hugging Face's layout")
    save_dir: str = flag("out", "folder of the weights", "--out_dir")
    weight: str = flag("full_sft", "a stage's name, its number in older scripts (0 to 4), or a path", "--model_mode")
    lora_weight: str = flag("none", "LoRA adapter to merge: a name in {save_dir}/lora, a path, or none", "--lora_name")
    hidden_size: int | None = flag(None, "width of the weights; none: whatever is there", "--dim", minimum=1)
    num_hidden_layers: int | None = flag(None, "layers of the weights; none: as they are", "--n_layers", minimum=1)
    use_moe: bool | None = flag(None, "weights with a mixture of experts; none: whatever is there")
    inference_rope_scaling: bool = flag(False, "stretch the positions by YaRN, for longer texts than were trained on")
    max_new_tokens: int = flag(8192, "longest answer in tokens", "--max_seq_len", minimum=1)
    temperature: float = flag(0.85, "divides the logits; 0 always says the most probable", minimum=0)
    top_p: float = flag(0.85, "sample from the most probable tokens that together reach this", minimum=0, maximum=1)
    historys: int = flag(0, "earlier messages sent along with a question: an even number", "--history_cnt", minimum=0)
    show_speed: bool = flag(True, "show tokens per second after each answer")
    open_thinking: bool = flag(False, "ask the model to think first; always so for --weight reason")
    tokenizer: str = flag("", "folder of the tokenizer; empty: the weights' own")
    seed: int | None = flag(None, "makes the answers repeatable; none: different every time")
    device: str = flag("auto", "auto, cpu, cuda, cuda:0 or mps")


def main(argv: list[str]) -> int:
    config = parse(
        Config(),
        argv,
        command="minimind eval",
        description="Puts eight preset questions to a model, or your own. Weights of the stage pretrain continue texts "
        "instead.",
        examples="minimind eval --weight full_sft\nminimind eval --weight reason --max_new_tokens 1024\n"
        "echo 0 | python eval_llm.py --weight pretrain --temperature 0",
    )
    if config.historys % 2:
        raise UserError(
            f"--historys {config.historys}: give an even number, a question and its answer are two messages"
        )
    conversation = open_conversation(config)
    print(describe(conversation.bundle))
    automatic = choose_mode()
    try:
        for question in presets(conversation) if automatic else typed():
            if automatic:
                print(f"> {question}")
            conversation.ask(question, sys.stdout)
            print()
    except EOFError:
        print()
    return 0


def open_conversation(config: Config) -> Conversation:
    from minimind.bundle import find_weights

    weight = MODES.get(config.weight, config.weight)
    if Path(config.load_from).name == NATIVE:
        path = find_weights(weight, config.save_dir, config.hidden_size, config.use_moe)
    else:
        path = Path(config.load_from)
    bundle = open_bundle(config, path, config.inference_rope_scaling)
    sizes_agree(bundle, [(name, getattr(config, name)) for name in ("hidden_size", "num_hidden_layers", "use_moe")])
    sampling = check_sampling({name: getattr(config, name) for name in ("temperature", "top_p", "max_new_tokens")})
    thinking = True if config.open_thinking or bundle.stage == "reason" else None
    conversation = Conversation(bundle, sampling, "", config.historys, thinking, config.show_speed)
    if config.seed is not None:
        conversation.seed = config.seed
    return conversation


def choose_mode() -> bool:
    """Whether the preset questions are asked, by the user's answer; without one they are."""
    print("[0] auto test (preset questions)\n[1] manual input")
    try:
        answer = input().strip()
    except EOFError:
        answer = "0"
    if answer not in ("", "0", "1"):
        raise UserError(f"answer 0 for the preset questions or 1 to type your own, got {answer!r}")
    return answer != "1"


def presets(conversation: Conversation) -> tuple[str, ...]:
    return BEGINNINGS if conversation.bundle.only_pretrained else QUESTIONS


def typed():
    """The user's questions until an empty line or the end of the input."""
    while question := input("> " if sys.stdin.isatty() else "").strip():
        yield question
