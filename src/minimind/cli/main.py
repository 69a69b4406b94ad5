"""`minimind COMMAND --flag value`: finds the command, runs it, and says in one sentence what the user got wrong."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from minimind import __version__
from minimind.cli.commands import COMMANDS, Command
from minimind.config import UserError, nearest, parse

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_NO_READER = 141  # 128 + SIGPIPE


def console() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


def main(argv: Sequence[str]) -> int:
    """Runs one command and returns the exit status: 0, 2 for a mistake of the user's, 130 for Ctrl-C."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if argv[0] == "--version":
        print(f"minimind {__version__}")
        return 0
    command = find(argv[0])
    if command is None:
        near = nearest(argv[0], [name for command in COMMANDS for name in (command.name, *command.aliases)])
        hint = f"did you mean {near!r}?" if near else "'minimind --help' lists the commands."
        print(f"minimind: unknown command {argv[0]!r}: {hint}", file=sys.stderr)
        return EXIT_USER_ERROR
    try:
        return run(command, list(argv[1:]))
    except UserError as error:
        for line in str(error).split("\n"):
            print(f"minimind {command.name}: {line}", file=sys.stderr)
        return EXIT_USER_ERROR
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "minimind":
            raise
        print(
            f"minimind {command.name}: the package {error.name} is not installed here: "
            "run `make install` and use .venv/bin/minimind, or install it with pip",
            file=sys.stderr,
        )
        return EXIT_USER_ERROR
    except BrokenPipeError:  # the reader, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python would complain at its end
        return EXIT_NO_READER
    except KeyboardInterrupt:
        print(f"minimind {command.name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def find(name: str) -> Command | None:
    """The command of that name or alias; dashes and underscores are the same."""
    name = name.replace("-", "_")
    return next((command for command in COMMANDS if name in (command.name, *command.aliases)), None)


def run(command: Command, argv: list[str]) -> int:
    """Imports the command's module and hands it the flags; a stage gets them as its configuration."""
    module = import_module(command.module)
    if not command.is_stage:
        return module.main(argv)
    presets = import_module("minimind.presets")
    config = parse(
        module.Config(),
        argv,
        command=f"minimind {command.name}",
        description=(module.__doc__ or command.purpose).split("\n\n")[0],
        examples="\n".join(command.examples),
        preset=lambda name: presets.get(command.name, name),
    )
    module.train(config)
    return 0


def overview() -> str:
    """The page of `minimind --help`: a first hour with the program, then all commands by group."""
    lines = [
        "minimind: train a small language model from nothing, examine it, and talk to it.",
        "",
        "a first hour:",
        "  minimind speedrun                        the whole road in minutes, with a report card at its end",
        "  minimind chat                            talk to the result",
        "  minimind primer --out dataset            the same road by hand: first the data,",
        "  minimind pretrain --preset primer        then stage after stage,",
        "  minimind full_sft --preset primer",
        "  minimind exam --weight full_sft          and what the model has learned",
        "  minimind pretrain --help                 every flag of a command, with its default",
    ]
    group = None
    for command in COMMANDS:
        if command.group != group:
            group = command.group
            lines += ["", f"{group}:"]
        also = f" (also {', '.join(command.aliases)})" if command.aliases else ""
        lines.append(f"  {command.name:<11}{command.purpose}{also}")
    return "\n".join([*lines, "", "usage: minimind COMMAND [--flag value ...]; minimind COMMAND --help; --version"])
