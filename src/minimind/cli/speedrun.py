"""`minimind speedrun`: the whole road, from nothing to an examined, aligned chat model and its report card."""

import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minimind.config import UserError, flag, parse

# What each work takes, in seconds, of the six minutes on two idle cores.
PLAN = {
    "primer": 9,
    "tokenizer": 9,
    "pretrain": 120,
    "exam of pretrain": 12,
    "full_sft": 85,
    "exam of full_sft": 14,
    "dpo": 20,
    "exam of dpo": 14,
    "grpo": 45,
    "exam of grpo": 14,
    "report card": 6,
}
MINUTES = 6.0
STAGES = ("pretrain", "full_sft", "dpo", "grpo")
RECORDS = 44_000  # pretraining records of the primer for six minutes
QUESTIONS = (
    ("zh", "你是谁？"),
    ("zh", "法国的首都是哪里？"),
    ("zh", "38加47等于多少？"),
    ("zh", "“苹果”用英语怎么说？"),
    ("en", "Hello! Who are you?"),
    ("en", "What is the capital of Japan?"),
    ("en", "What is 56 + 27?"),
    ("en", "What did I eat for breakfast?"),
)


@dataclass
class Config:
    minutes: float = flag(MINUTES, "how long the road should be on two cores; every stage scales with it", minimum=0.1)
    seed: int = flag(42, "seed of every stage", minimum=0)
    fresh: bool = flag(False, "start again even if an earlier speedrun was interrupted")
    device: str = flag("auto", "auto, cpu, cuda, cuda:0 or mps")
    save_dir: str = flag("out", "folder of the weights", "--out_dir")
    data_dir: str = flag("dataset/primer", "folder for the primer's files")
    card_dir: str = flag("runs/speedrun", "folder for metrics and report card")
    questions: int = flag(100, "exam questions for each subject and language", minimum=1)
    ranks: int = flag(0, "processes to train and examine with; 0: one a core on a CPU, at most 4", minimum=0)


def main(argv: list[str]) -> int:
    config = parse(
        Config(),
        argv,
        command="minimind speedrun",
        description="Builds the primer, trains a tokenizer, pretrains, fine-tunes, aligns with DPO, reinforces with "
        "GRPO, examines the model after each stage and writes a report card. Run again after an interruption, it goes "
        "on where it stopped.",
        examples="minimind speedrun\nminimind speedrun --minutes 30\nminimind speedrun --minutes 0.5 --questions 10",
    )
    Speedrun(config).walk(["speedrun", *argv])
    return 0


class Speedrun:
    """The works in their order. What is finished is noted in `state.json` with its result, and never done twice."""

    def __init__(self, config: Config):
        from minimind.runtime.device import resolve_device
        from minimind.runtime.paths import FolderLock
        from minimind.runtime.progress import Road
        from minimind.runtime.ranks import Ranks
        from minimind.runtime.team import cores

        self.config, self.scale = config, config.minutes / MINUTES
        self.folder = Path(config.card_dir)
        self.lock = FolderLock(self.folder)
        self.road = Road({name: seconds * self.scale for name, seconds in PLAN.items()})
        self.settings = {
            name: getattr(config, name) for name in ("minutes", "seed", "save_dir", "data_dir", "questions")
        }
        self.on_cpu = resolve_device(config.device).type == "cpu"
        # a power of two, so that it divides the rows of every step
        self.size = config.ranks or ((4 if cores() >= 4 else cores() // 2 * 2 or 1) if self.on_cpu else 1)
        self.ranks = Ranks()
        self.state: dict[str, Any] = {"settings": self.settings, "started": [], "done": {}}

    def walk(self, arguments: list[str]) -> None:
        """All works; on a CPU in several processes. Raises UserError when another speedrun works in the same folder."""
        from minimind.runtime.team import Team, under_launcher

        if under_launcher():
            self._walk()
            return
        try:
            self.lock.acquire()
        except ValueError as error:
            raise UserError(str(error)) from error
        try:
            self._recall()
            started = time.monotonic()
            with Team(self.size, arguments, self.folder):
                self._walk()
            self._farewell(time.monotonic() - started)
        finally:
            self.lock.release()

    def _walk(self) -> None:
        from minimind.runtime.ranks import join, leave
        from minimind.runtime.team import set_threads

        if self.on_cpu:
            set_threads(self.size)
        self.ranks = join("cpu" if self.on_cpu else "cuda")
        self._do("primer", self._primer)
        self._do("tokenizer", self._tokenizer)
        for stage in STAGES:
            self._do(stage, lambda stage=stage: self._train(stage), together=True)
            self._do(f"exam of {stage}", lambda stage=stage: self._examine(stage), together=True)
        self._do("report card", self._report)
        leave()

    # ---- remembering -----------------------------------------------------------------------------------------------

    def _recall(self) -> None:
        """Takes up an interrupted speedrun of the same settings; a finished or different one is begun afresh."""
        file = self.folder / "state.json"
        if not self.config.fresh and file.exists():
            found = json.loads(file.read_text(encoding="utf-8"))
            if found["settings"] == self.settings and "report card" not in found["done"]:
                self.state = found
                print(f"going on after {', '.join(found['done']) or 'the start'}", file=sys.stderr)
                return
        for leftover in [self.folder / stage for stage in STAGES]:
            shutil.rmtree(leftover, ignore_errors=True)
        self._remember()

    def _remember(self) -> None:
        from minimind.runtime.paths import write_atomically

        write_atomically(self.folder / "state.json", json.dumps(self.state, indent=1, ensure_ascii=False))

    def _do(self, name: str, work: Callable[[], dict], together: bool = False) -> None:
        """Does a work unless it is done; its result and seconds go into the state.

        The first rank decides and remembers; the others take part in what is done together and wait otherwise.
        """
        done, self.resumed = self.ranks.share([name in self.state["done"], name in self.state["started"]])
        if done:
            self.road.skip(name)
            return
        if self.ranks.first and not self.resumed:
            self.state["started"].append(name)
            self._remember()
        started, result = time.monotonic(), {}
        with self.road.work(name):
            if together or self.ranks.first:
                result = work()
            self.ranks.barrier()
        if self.ranks.first:
            self.state["done"][name] = {"seconds": round(time.monotonic() - started, 1), **result}
            self._remember()

    # ---- the works -------------------------------------------------------------------------------------------------

    def _primer(self) -> dict:
        from minimind.data.primer.write import write
        from minimind.runtime.progress import Progress

        records = max(400, round(RECORDS * self.scale))
        with Progress("writing the primer", 1, "records") as progress:

            def show(name: str, done: int, wanted: int) -> None:
                progress.total = wanted
                progress.update(done, file=name)

            return {"records": write(self.config.data_dir, records, self.config.seed, show)}

    def _tokenizer(self) -> dict:
        from minimind.presets import get
        from minimind.stages.tokenizer import train

        config = get("tokenizer", "primer")
        config.data_path = f"{self.config.data_dir}/primer_tokenizer.jsonl"
        config.save_dir = self._tokenizer_dir()
        train(config)
        return {}

    def _tokenizer_dir(self) -> str:
        return str(Path(self.config.save_dir) / "tokenizer_primer")

    def _train(self, stage: str) -> dict:
        from importlib import import_module

        from minimind.bundle import read_card
        from minimind.presets import get

        config = get(stage, "primer")
        name = {"pretrain": "pretrain", "full_sft": "sft", "dpo": "dpo", "grpo": "grpo"}[stage]
        config.data.data_path = f"{self.config.data_dir}/primer_{name}.jsonl"
        if stage == "pretrain":
            config.model.tokenizer_path = self._tokenizer_dir()
        run = config.run
        run.batch_size = max(1, run.batch_size // self.ranks.world_size)
        run.max_steps = max(2, round(run.max_steps * self.scale))
        run.save_dir, run.runs_dir, run.device = self.config.save_dir, str(self.folder), self.config.device
        run.seed, run.from_resume, run.quiet = self.config.seed, self.resumed, not self.ranks.first
        import_module(f"minimind.stages.{stage}").train(config)
        metrics = read_card(self._weights(stage))["metrics"]
        return {"tokens": metrics["tokens"], "metrics": metrics}

    def _weights(self, stage: str) -> Path:
        from minimind.model.presets import PRESETS
        from minimind.runtime.paths import weights_path

        return weights_path(self.config.save_dir, stage, PRESETS["primer"].hidden_size)

    def _bundle(self, stage: str):
        from minimind.bundle import load
        from minimind.runtime.device import resolve_device

        return load(self._weights(stage), resolve_device(self.config.device))

    def _examine(self, stage: str) -> dict:
        """The exam; from full_sft on also held-out preference pairs, by the model alone and against full_sft."""
        from minimind.data.primer.exam import exam_items
        from minimind.data.primer.preferences import preference_exam
        from minimind.data.primer.subject import correct
        from minimind.evals import exam
        from minimind.evals.preference import accuracy, margins
        from minimind.runtime.progress import Progress

        bundle, items = self._bundle(stage), exam_items(self.config.questions)
        mine = items[self.ranks.rank :: self.ranks.world_size]
        with Progress(f"exam of {stage}", len(mine), "questions", quiet=not self.ranks.first) as progress:
            replies = exam.answer(bundle, mine, progress=lambda done, total: progress.update(done))
        parts = self.ranks.gather(replies)
        if not self.ranks.first:
            return {}
        replies = [parts[index % len(parts)][index // len(parts)] for index in range(len(items))]
        marks = [correct(item, reply) for item, reply in zip(items, replies, strict=True)]
        exam.write_transcript(self.folder / f"exam_{stage}.jsonl", items, replies, marks)
        report = exam.report(items, marks)
        result = {"exam": report}
        if stage in ("full_sft", "dpo", "grpo"):
            pairs = preference_exam()
            own = margins(bundle, pairs)
            result["prefers_chosen"] = accuracy(own)
            if stage != "full_sft":
                result["preference_accuracy"] = accuracy(own, margins(self._bundle("full_sft"), pairs))
        return result

    def _report(self) -> dict:
        from minimind.plots.report_card import write
        from minimind.runtime.device import describe_machine, resolve_device
        from minimind.runtime.paths import write_atomically

        done = self.state["done"]
        stages = []
        for stage in STAGES:
            examined = {name: value for name, value in done[f"exam of {stage}"].items() if name != "seconds"}
            stages.append(
                {"name": stage, "seconds": done[stage]["seconds"], "tokens": done[stage]["tokens"], **examined}
            )
        bundle = self._bundle(STAGES[-1])
        samples = [
            {"language": language, "question": question, "answer": bundle.generate(question, temperature=0.0)}
            for language, question in QUESTIONS
        ]
        card = {
            "stages": stages,
            "machine": describe_machine(resolve_device(self.config.device)),
            "seconds": round(sum(work["seconds"] for work in done.values()), 1),
            "minutes": self.config.minutes,
            "samples": samples,
        }
        file = self.folder / "report_card.json"
        write_atomically(file, json.dumps(card, indent=1, ensure_ascii=False))
        return {"files": [str(path) for path in write(file)], "samples": samples}

    def _farewell(self, seconds: float) -> None:
        from minimind.runtime.progress import clock

        done = self.state["done"]
        print()
        for stage in STAGES:
            result = done[f"exam of {stage}"]
            extra = result.get("preference_accuracy")
            pairs = f", held-out preference pairs {100 * extra:.1f} %" if extra is not None else ""
            print(f"{stage:>9}: exam {100 * result['exam']['mean']:5.1f} %{pairs} ({clock(done[stage]['seconds'])})")
        print()
        for sample in done["report card"]["samples"]:
            print(f"> {sample['question']}\n{sample['answer']}\n")
        print("report card: " + "  ".join(done["report card"]["files"]))
        print(f"the road took {clock(seconds)}; talk to the model: minimind chat")
