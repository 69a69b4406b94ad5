"""A run: the device, the folder and its lock, the steps, and everything that must survive a crash.

    run = start(config.run, config.optim, name="pretrain_512", snapshot=to_dict(config))
    model = run.ready(model, "trained")
    run.keep(model=model, optimizer=optimizer, data=stream)
    for step in run.steps(total):
        for part in step.split(stream.next(rows)):
            step.backward(loss_sum(model, part))
        step.apply(optimizer)

A run that was killed and started again with `--from_resume 1` continues from its newest checkpoint and ends with the
same bits as one that never stopped (on a CPU; on a GPU as far as its kernels are deterministic).
"""

import functools
import json
import math
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils.checkpoint import checkpoint as recompute

from minimind.config import UserError
from minimind.optim.schedule import factor
from minimind.runtime import ranks as processes
from minimind.runtime.device import describe_machine, peak_flops, resolve_device, resolve_dtype
from minimind.runtime.paths import FolderLock, home_of, write_atomically
from minimind.runtime.progress import Progress
from minimind.runtime.records import Records
from minimind.runtime.seeds import random_state, restore_random_state, seed_everything
from minimind.train import checkpoint
from minimind.train.parallel import same_everywhere
from minimind.train.settings import OptimGroup, RunGroup
from minimind.train.step import Step
from minimind.train.track import open_tracker

ROLES = ("trained", "frozen")


def start(config: RunGroup, optim: OptimGroup, *, name: str, snapshot: dict, identity: dict | None = None) -> "Run":
    """Device, ranks, seeds, folders and their lock. `name` is that of the weights, such as "pretrain_512".

    identity: what must be the same for a resume to make sense (model, tokenizer, data...), as plain values.
    Raises UserError for a device that is not here, and for a folder that another run holds or that cannot be made.
    """
    try:
        if config.threads:
            torch.set_num_threads(config.threads)
        device = resolve_device(config.device)
        ranks = processes.join(device.type)
        if device.type == "cuda" and ranks.world_size > 1:
            device = torch.device("cuda", ranks.local_rank)
        dtype = resolve_dtype(config.dtype, device)
        seed_everything(config.seed)
        return Run(config, optim, name, snapshot, identity or {}, device, dtype, ranks)
    except OSError as error:
        raise UserError(f"--save_dir {config.save_dir} cannot be written to ({error}); name another.") from error
    except ValueError as error:
        raise UserError(str(error)) from error


class Run:
    """See the module's text. Attributes for stages: device, dtype, ranks, config, number (of the current step)."""

    def __init__(self, config, optim, name, snapshot, identity, device, dtype, ranks):
        self.config, self.optim, self.name, self.snapshot = config, optim, name, snapshot
        self.identity = json.loads(json.dumps(identity))
        self.device, self.dtype, self.ranks = device, dtype, ranks
        home = home_of(config.save_dir)
        self.folder = Path(config.runs_dir or home / "runs") / name
        self.checkpoints = Path(config.checkpoint_dir or home / "checkpoints") / name
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self.kept: dict[str, object] = {"scaler": self.scaler}
        self.publish: Callable[[dict], None] | None = None
        self.flops_per_token = 0.0
        self.number = self.tokens = self.resumed_at = 0
        self.seconds_before = 0.0
        self.stop_asked, self.stop_agreed, self.place = 0, False, ""
        self.figures: dict[str, float] = {}
        self.lock = FolderLock(self.checkpoints)
        if not config.dry_run and ranks.first:
            self.lock.acquire()
            checkpoint.clean(self.checkpoints)

    # ---- preparing -------------------------------------------------------------------------------------------------

    def ready(self, module: torch.nn.Module, role: str = "trained") -> torch.nn.Module:
        """The module on its device, equal on all ranks; a frozen one never gets a gradient.

        Always in this order: role, device, the same weights everywhere, recomputation, compilation.
        """
        assert role in ROLES, role
        if role == "frozen":
            module.requires_grad_(False)
        module.train(role == "trained")
        module.to(self.device)
        same_everywhere(module, self.ranks)
        if role == "trained" and self.config.activation_checkpointing:
            recompute_layers(module)
        if self.config.use_compile:
            module.compile()
        if self.ranks.world_size > 1:  # from here on chance (dropout, sampling) is each rank's own
            seed_everything(self.config.seed + 1_000_003 * self.ranks.rank)
        return module

    def keep(self, **objects) -> None:
        """Objects with state_dict() and load_state_dict() that are saved and restored together."""
        self.kept.update(objects)

    def autocast(self):
        """The number format of matrix products, for the forward pass."""
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    # ---- the steps -------------------------------------------------------------------------------------------------

    def steps(self, total: int) -> Iterator[Step]:
        """Steps up to number `total` (or --max_steps): resumes, schedules, saves, records, and stops when asked to."""
        if self.config.max_steps:
            total = self.config.max_steps
        self.total = total
        if self.config.dry_run:
            self._print_plan()
            return
        try:
            first = self._resume()
            self._open()
            with self._signals(), self.progress:
                self.progress.resume_at(first)
                self.last_time, self.last_tokens = time.monotonic(), self.tokens
                for index in range(first, total):
                    self.number = index + 1
                    rate = factor(self.optim.schedule, index, total, self.optim.warmup_steps, self.optim.decay_share)
                    self.place = self._place()  # a stream that has been read stands behind the step's batch
                    step = Step(self, self.number, total, rate)
                    self._watch_the_clock()
                    yield step
                    self._after(step)
            self._publish()
        except OSError as error:
            raise UserError(f"{self.name} cannot write its files ({error}); {self.last_good()}.") from error
        finally:
            self.close()

    def every(self, interval: int) -> bool:
        """Whether the current step is a multiple of `interval`, or the last one."""
        return self.number == self.total or bool(interval and self.number % interval == 0)

    @torch.no_grad()
    def validate(self, model: torch.nn.Module, objective: Callable, batches) -> float | None:
        """The mean loss over batches, on all ranks: objective(model, batch) -> (sum, count). The model does not learn.

        None where there is nothing to validate on.
        """
        model.eval()
        total = counted = 0.0
        for batch in batches:
            with self.autocast():
                part, count = objective(model, batch.to(self.device))
            total, counted = total + float(part), counted + float(count)
        model.train()
        total, counted = self.ranks.add(total, counted)
        return total / counted if counted else None

    def say(self, text: str) -> None:
        """A line for whoever watches, from the first rank."""
        if self.ranks.first and not self.config.dry_run:
            self.progress.say(text)

    def write(self, name: str, content: str) -> Path:
        """A file in the run's folder."""
        if self.ranks.first:
            write_atomically(self.folder / name, content)
        return self.folder / name

    def close(self) -> None:
        self.lock.release()

    # ---- behind the verbs ------------------------------------------------------------------------------------------

    def _open(self) -> None:
        quiet = self.config.quiet or not self.ranks.first
        self.progress = Progress(self.name, self.total, "steps", quiet=quiet)
        self.track = None
        if not self.ranks.first:
            return
        self.records = Records(self.folder / "metrics.jsonl", self.resumed_at or None)
        machine = describe_machine(self.device)
        write_atomically(
            self.folder / "config.json", json.dumps({**self.snapshot, "machine": machine}, indent=1, ensure_ascii=False)
        )
        tracker = self.config.tracker or ("wandb" if self.config.use_wandb else "")
        self.track = open_tracker(tracker, self.config.wandb_project, self.name, self.snapshot, self.folder)

    def _resume(self) -> int:
        """Restores every kept object; the number of steps already done."""
        path = None
        if self.config.from_resume:
            path = self._agreed_checkpoint()
        if path is None:
            if self.ranks.first and checkpoint.complete(self.checkpoints):
                self._set_aside()
            return 0
        done, states = checkpoint.load(path)
        own = states.pop("run")
        self._refuse_differences(own["identity"])
        for name, target in self.kept.items():
            if name not in states:
                raise UserError(f"checkpoint {path} has no state of '{name}'; it was written by another stage.")
            target.load_state_dict(states[name])
        self.tokens, self.seconds_before = own["tokens"], own["seconds"]
        self.figures = own["figures"]
        if len(own["random"]) == self.ranks.world_size:
            restore_random_state(own["random"][self.ranks.rank])
        self.resumed_at = self.number = done
        return done

    def _agreed_checkpoint(self) -> Path | None:
        """The first rank looks and judges; all ranks load the same one."""
        answer: list = [None, None]
        if self.ranks.first:
            try:
                found = checkpoint.newest(self.checkpoints, lambda text: print(text, file=sys.stderr))
                answer = [str(found) if found else None, None]
            except ValueError as error:
                answer = [None, str(error)]
        found, problem = self.ranks.share(answer)
        if problem:
            raise UserError(problem)
        return Path(found) if found else None

    def _refuse_differences(self, saved: dict) -> None:
        names = sorted(set(saved) | set(self.identity))
        changed = [
            f"{name}: {saved.get(name)} -> {self.identity.get(name)}"
            for name in names
            if saved.get(name) != self.identity.get(name)
        ]
        if changed:
            raise UserError(
                f"cannot resume {self.name} from {self.checkpoints}: "
                + "; ".join(changed)
                + ". Use the old settings, or start afresh with --from_resume 0."
            )

    def _set_aside(self) -> None:
        """A fresh start keeps the training states of the run before it, under another name, until the next one."""
        aside = self.checkpoints.with_name(self.checkpoints.name + ".previous")
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        for path in checkpoint.complete(self.checkpoints):
            path.rename(aside / path.name)

    def _after(self, step: Step) -> None:
        stopping = self.stop_agreed and not step.last
        if step.last or stopping or step.number == 1 or step.number % self.config.log_interval == 0:
            self._record(step)
        if self.ranks.first:
            self.progress.update(step.number, loss=step.loss_of_step)
        if step.last or stopping or step.number % self.config.save_interval == 0:
            self._save(step.number)
        if stopping:
            self._publish()
            self.say(f"stopped after step {step.number} and saved; go on with --from_resume 1.")
            raise SystemExit({signal.SIGTERM: 143, signal.SIGINT: 130}.get(self.stop_asked, 0))

    def _record(self, step: Step) -> None:
        # a gradient that overflowed in fp16 has no norm, and JSON has no word for it
        values = {name: value for name, value in step.reduced().items() if math.isfinite(value)}
        now = time.monotonic()
        speed = (self.tokens - self.last_tokens) / max(1e-9, now - self.last_time)
        self.last_time, self.last_tokens = now, self.tokens
        self.figures.update(values)
        if not self.ranks.first:
            return
        shown = {"tokens/s": speed}
        if self.flops_per_token:
            peak = peak_flops(self.device, self.dtype) * self.ranks.world_size
            shown["of peak"] = f"{100 * speed * self.flops_per_token / peak:.0f} %"
        shown.update({name: values[name] for name in sorted(values) if name.startswith(("val_", "reward", "accuracy"))})
        record = {"step": step.number, "tokens": self.tokens, **values}
        timing = {"seconds": round(self.seconds(), 3), "tokens_per_second": round(speed, 1)}
        self.records.append({**record, **timing})
        if self.track:
            self.track({**record, **timing})
        self.progress.update(step.number, **shown)

    def seconds(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return self.seconds_before + time.monotonic() - self.started

    def _save(self, number: int) -> None:
        randoms = self.ranks.gather(random_state())
        problem = None
        if self.ranks.first:
            own = {
                "identity": self.identity,
                "tokens": self.tokens,
                "seconds": self.seconds(),
                "figures": self.figures,
                "random": randoms,
                "total": self.total,
            }
            states = {name: target.state_dict() for name, target in self.kept.items()}
            try:
                self._check_finite(number)
                checkpoint.save(self.checkpoints, number, {**states, "run": own}, self.config.keep_checkpoints)
            except ValueError as error:
                problem = str(error)
        problem = self.ranks.share(problem)
        if problem:
            raise UserError(problem)
        if number < self.total:
            self._publish()

    def _check_finite(self, number: int) -> None:
        """A finite loss and gradient can still be followed by an update that is too large for the format."""
        for module in self.kept.values():
            if isinstance(module, torch.nn.Module) and not all(p.isfinite().all() for p in module.parameters()):
                raise ValueError(
                    f"step {number}: the weights are no longer finite and were not saved; {self.last_good()}. "
                    "Lower --learning_rate."
                )

    def _publish(self) -> None:
        """Lets the stage write its weights and card."""
        if self.publish is not None and self.ranks.first:
            self.publish({"step": self.number, "tokens": self.tokens, "seconds": self.seconds_total(), **self.figures})
        self.ranks.barrier()

    def seconds_total(self) -> float:
        return round(self.seconds(), 1)

    def _watch_the_clock(self) -> None:
        if self.config.max_minutes and time.monotonic() - self.started > 60 * self.config.max_minutes:
            self.stop_asked = self.stop_asked or -1

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """SIGTERM and Ctrl-C ask the run to finish its step, save and stop; a second one ends it at once."""
        self.started = time.monotonic()
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number, frame):
            self.stop_asked = number
            signal.signal(number, before[number])

        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        for number in before:
            signal.signal(number, ask)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _place(self) -> str:
        """Where in the data the current step begins, in words."""
        stream = self.kept.get("data")
        return json.dumps(stream.state_dict()) if stream is not None else f"step {self.number}"

    def last_good(self) -> str:
        found = checkpoint.complete(self.checkpoints)
        return f"the last good checkpoint is {found[-1]}" if found else "there is no checkpoint yet"

    def _print_plan(self) -> None:
        modules = {name: kept for name, kept in self.kept.items() if isinstance(kept, torch.nn.Module)}
        trained = sum(p.numel() for module in modules.values() for p in module.parameters() if p.requires_grad)
        lines = [
            f"plan of {self.name} (dry run: nothing is trained or written)",
            f"  device {self.device}, products in {self.dtype}, {self.ranks.world_size} rank(s)",
            f"  {trained:,} trained parameters: {16 * trained / 2**20:,.0f} MiB with gradients and optimizer state",
            f"  {self.total:,} steps of {self.config.batch_size} x {self.config.accumulation_steps} rows on each rank",
            f"  weights to {self.config.save_dir}, training state to {self.checkpoints}, metrics to {self.folder}",
        ]
        if self.flops_per_token:
            lines.insert(3, f"  {self.flops_per_token:,.0f} FLOP a token (forward and backward)")
        if self.ranks.first:
            print("\n".join(lines))


def recompute_layers(module: torch.nn.Module) -> None:
    """Makes every layer of the module keep only its input and compute the rest again in the backward pass."""
    for child in module.modules():
        if isinstance(child, torch.nn.ModuleList):
            for layer in child:
                layer.forward = functools.partial(recompute, layer.forward, use_reentrant=False)
