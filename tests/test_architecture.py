"""The house drawn from its imports: arrows point down, and a few things happen in their own rooms only.

Everything is read from the source with `ast`; nothing but the last test imports the package.
"""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "minimind"

# part -> the parts of ours that it may import (a part may always import itself, unless it is in SINGLE_FILES)
FLOORS = {
    "config": set(),
    "runtime": set(),
    "ops": set(),
    "optim": {"runtime"},
    "tokenizer": {"config", "runtime"},
    "model": {"config", "ops"},
    "data": {"config", "runtime", "tokenizer"},
    "adapters": {"config", "ops", "model"},
    "quant": {"config", "ops", "model"},
    "vision": {"config", "ops", "model"},
    "train": {"config", "runtime", "optim"},
    "infer": {"config", "runtime", "ops", "model"},
}
TO_FLOOR_2 = {"config", "runtime", "ops", "optim", "tokenizer", "model", "data"}
TO_FLOOR_3 = TO_FLOOR_2 | {"adapters", "quant", "vision", "train", "infer"}
TO_FLOOR_4 = TO_FLOOR_3 | {"rewards", "rollout", "evals", "export", "bundle", "lineage"}
FLOORS |= {
    "rewards": TO_FLOOR_3,
    "rollout": TO_FLOOR_3 | {"rewards"},
    "evals": TO_FLOOR_3 | {"rewards"},
    "export": TO_FLOOR_3,
    "bundle": TO_FLOOR_3,
    "lineage": TO_FLOOR_3 | {"bundle"},
    "stages": TO_FLOOR_4,
    "serve": TO_FLOOR_4,
    "web": TO_FLOOR_4,
    "plots": {"config", "runtime"},  # they read records, nothing else
    "presets": {"config", "model", "data", "train", "stages"},  # the groups of flags that a stage's are made of
}
EXCEPTIONS = {("minimind.infer.text", "tokenizer"), ("minimind.infer.llm", "tokenizer")}
FREE = {"cli", "__init__", "__main__"}  # they import on use
SINGLE_FILES = {"stages"}  # a stage is one file that imports no other

# library -> the only parts that may import it
HOMES = {
    "transformers": {"export", "evals"},
    "matplotlib": {"plots"},
    "fastapi": {"serve", "web"},
    "uvicorn": {"serve", "web"},
    "streamlit": {"web"},
}
LINES_OF_A_FILE = 450
LINES_OF_A_FUNCTION = 110


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def scripts() -> list[Path]:
    return sorted([*(ROOT / "trainer").glob("*.py"), *(ROOT / "scripts").glob("*.py"), *ROOT.glob("*.py")])


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_of(path: Path) -> str:
    """`minimind.data.pack` for src/minimind/data/pack.py; a package's own name for its __init__.py."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def part_of(name: str) -> str:
    """The part of the house a module of ours belongs to: `data` for `minimind.data.pack`."""
    return (name.split(".") + ["__init__"])[1]


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, module) of every import of a file, wherever it stands; relative ones made absolute."""
    package = name_of(path).split(".") if path.is_relative_to(PACKAGE) else []
    if path.name != "__init__.py":
        package = package[:-1]
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            # `from minimind import config` imports minimind.config
            deeper = [f"{module}.{alias.name}" for alias in node.names] if module == "minimind" else [module]
            found += [(node.lineno, name) for name in deeper]
    return found


def arrows_up(name: str, imported: str) -> str | None:
    """Why a module of ours may not import another of ours, if it may not."""
    part, target = part_of(name), part_of(imported)
    if part in FREE or imported == "minimind.__version__":
        return None
    if part not in FLOORS:
        return f"{part} has no floor in tests/test_architecture.py"
    if part == target:
        single = part in SINGLE_FILES and name.count(".") > 1 and imported.count(".") > 1
        own = imported.split(".")[2:3] == name.split(".")[2:3]
        return f"one file of {part} imports another" if single and not own else None
    if target in FLOORS[part] or (name, target) in EXCEPTIONS:
        return None
    return f"{part} may not import {target}"


def report(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


def test_imports_point_down():
    problems = []
    for path in modules():
        for line, imported in imports(path):
            if imported.split(".")[0] == "minimind":
                why = arrows_up(name_of(path), imported)
                if why:
                    problems.append(f"{path.relative_to(ROOT)}:{line}: imports {imported}: {why}")
    report(problems)


def test_the_rule_of_imports_itself():
    """Hand-made arrows: the test above must be able to fail."""
    assert arrows_up("minimind.stages.dpo", "minimind.stages.grpo")
    assert arrows_up("minimind.train.run", "minimind.model.config")
    assert arrows_up("minimind.adapters.lora", "minimind.quant.int8")
    assert arrows_up("minimind.plots.curves", "minimind.evals.exam")
    assert arrows_up("minimind.infer.decode", "minimind.tokenizer.tokenizer")
    assert arrows_up("minimind.model.norm", "minimind.train.step")
    assert arrows_up("minimind.attic.thing", "minimind.config")
    assert arrows_up("minimind.infer.text", "minimind.tokenizer.tokenizer") is None
    assert arrows_up("minimind.stages.dpo", "minimind.ops.loss") is None
    assert arrows_up("minimind.evals.exam", "minimind.rewards.verifiers") is None
    assert arrows_up("minimind.cli.chat", "minimind.stages.dpo") is None


def test_libraries_stay_in_their_rooms():
    problems = []
    for path in modules():
        for line, imported in imports(path):
            library = imported.split(".")[0]
            if library in HOMES and part_of(name_of(path)) not in HOMES[library]:
                problems.append(f"{path.relative_to(ROOT)}:{line}: {library} belongs to {sorted(HOMES[library])}")
            if library == "torch" and part_of(name_of(path)) in ("plots", "config", "__init__", "__main__"):
                problems.append(f"{path.relative_to(ROOT)}:{line}: torch does not belong here")
    report(problems)


def test_matplotlib_is_imported_inside_functions():
    """Drawing is optional: the module can be imported, and say what to install, without it."""
    problems = []
    for path in modules():
        for node in tree(path).body:
            names = [alias.name for alias in getattr(node, "names", [])] + [getattr(node, "module", None) or ""]
            if isinstance(node, ast.Import | ast.ImportFrom) and any(name.startswith("matplotlib") for name in names):
                problems.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    report(problems)


def test_environment_is_read_in_runtime_and_cli_only():
    problems = []
    for path in modules():
        if part_of(name_of(path)) in ("runtime", "cli"):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "putenv"):
                problems.append(f"{path.relative_to(ROOT)}:{node.lineno}: os.{node.attr}")
    report(problems)


def dotted(node: ast.expr) -> str:
    """`torch.load` for the function of a call, `?.eval` for a method of something without a name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return "?"


def unsafe(call: ast.Call) -> str | None:
    """Why a call may run code that somebody else wrote, if it may."""
    name = dotted(call.func)
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}

    def is_true(key: str) -> bool:
        return isinstance(keywords.get(key), ast.Constant) and keywords[key].value is True

    if name in ("eval", "exec", "__import__", "os.system", "os.popen"):
        return f"{name} is not for us"
    if name == "torch.load" and not is_true("weights_only"):
        return "torch.load without weights_only=True"
    if name.split(".")[0] in ("pickle", "dill", "marshal", "shelve", "joblib"):
        return f"{name} loads code with its data"
    if name in ("np.load", "numpy.load") and is_true("allow_pickle"):
        return "pickled arrays"
    for key in ("shell", "trust_remote_code"):
        if key in keywords and not (isinstance(keywords[key], ast.Constant) and keywords[key].value is False):
            return f"{key}="
    return None


def test_no_call_runs_foreign_code():
    problems = []
    for path in [*modules(), *scripts()]:
        for node in ast.walk(tree(path)):
            why = unsafe(node) if isinstance(node, ast.Call) else None
            if why:
                problems.append(f"{path.relative_to(ROOT)}:{node.lineno}: {why}")
    report(problems)


@pytest.mark.parametrize(
    "code",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "eval(text)",
        "pickle.loads(data)",
        "subprocess.run(command, shell=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=True)",
    ],
)
def test_the_rule_of_foreign_code_itself(code):
    assert unsafe(ast.parse(code).body[0].value)


def test_importing_has_no_side_effects():
    """At the top of a module stand definitions: a bare call there would run whenever somebody imports it."""
    problems = []
    for path in modules():
        for node in tree(path).body:
            bare_call = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
            guard = isinstance(node, ast.If) and "__name__" not in ast.dump(node.test)
            loop = isinstance(node, ast.For | ast.While | ast.With | ast.Try)
            if bare_call or loop or (guard and "TYPE_CHECKING" not in ast.dump(node.test)):
                problems.append(f"{path.relative_to(ROOT)}:{node.lineno}: runs when imported")
    report(problems)


def test_errors_are_never_swallowed():
    """No bare `except:`, and no handler of every exception that only passes."""
    problems = []
    for path in [*modules(), *scripts()]:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ExceptHandler):
                broad = node.type is None or dotted(node.type) in ("Exception", "BaseException")
                silent = all(isinstance(line, ast.Pass | ast.Continue) for line in node.body)
                if node.type is None or (broad and silent):
                    problems.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    report(problems)


def test_pages_stay_readable():
    problems = []
    for path in [*modules(), *scripts()]:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LINES_OF_A_FILE:
            problems.append(f"{path.relative_to(ROOT)}: {lines} lines, at most {LINES_OF_A_FILE}")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LINES_OF_A_FUNCTION:
                    problems.append(f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {length} lines")
        if ast.get_docstring(tree(path)) is None and path.read_text(encoding="utf-8").strip():
            problems.append(f"{path.relative_to(ROOT)}: no docstring")
    report(problems)


@pytest.mark.parametrize("code", ["import minimind", "from minimind.cli.main import main; main(['--help'])"])
def test_no_torch_before_it_is_needed(code):
    program = f"import sys; {code}; print(sorted({{'torch', 'numpy', 'tokenizers', 'matplotlib'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r}); {program}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().split("\n")[-1] == "[]"
