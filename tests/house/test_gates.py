"""Gates over our own sources: no code from data, pure deciders, small rooms."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.house import PACKAGES, ROOT, UNPICKLING

CODE_FROM_DATA = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle"}
CALLS_THAT_RUN_DATA = {"eval", "exec", "compile", "__import__"}
NO_CLOCK_NO_CHANCE = {"time", "random", "secrets", "uuid", "datetime", "os", "asyncio", "socket"}
MODULE_LINES = 600
FUNCTION_LINES = 60


def nodes(paths: list[Path]) -> Iterator[tuple[str, ast.AST]]:
    for path in paths:
        name = path.relative_to(ROOT)
        for node in _walked(path):
            yield f"{name}:{getattr(node, 'lineno', 0)}", node


@cache
def _walked(path: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(path.read_text(), filename=str(path))))


def imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level:
        return {str(node.module).partition(".")[0]}
    return set()


def loads_code(node: ast.AST) -> bool:
    return bool(imported(node) & CODE_FROM_DATA)


def runs_text(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    return isinstance(node.func, ast.Name) and node.func.id in CALLS_THAT_RUN_DATA


def loads_yaml_objects(node: ast.AST) -> bool:
    unsafe = {"load", "load_all", "unsafe_load", "full_load", "unsafe_load_all", "full_load_all"}
    if isinstance(node, ast.ImportFrom):
        return node.module == "yaml" and bool(unsafe & {alias.name for alias in node.names})
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
        return False
    loader = [*node.args[1:2], *(word.value for word in node.keywords if word.arg == "Loader")]
    safe = bool(loader) and isinstance(loader[0], ast.Name) and loader[0].id in SAFE_LOADERS
    owner = node.func.value
    return isinstance(owner, ast.Name) and owner.id == "yaml" and node.func.attr in unsafe and not safe


def asks_a_shell(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    shell = any(
        word.arg == "shell" and not (isinstance(word.value, ast.Constant) and not word.value.value)
        for word in node.keywords
    )
    func = node.func
    system = isinstance(func, ast.Attribute) and func.attr in {"system", "popen"}
    return shell or (system and isinstance(func.value, ast.Name) and func.value.id == "os")


SAFE_LOADERS: set[str] = set()  # classes of ours that derive from yaml's safe loader, by name


@pytest.mark.parametrize(
    "forbidden", [loads_code, runs_text, loads_yaml_objects, asks_a_shell], ids=lambda check: check.__name__
)
def test_no_code_comes_from_data(sources, forbidden: Callable[[ast.AST], bool]):
    """G11: nothing of ours turns data into code, or text into a shell's command line."""
    gated = [path for path in sources if forbidden is not loads_code or path not in UNPICKLING]
    assert [place for place, node in nodes(gated) if forbidden(node)] == []


def test_the_gate_itself_sees():
    """Each check finds what it is there for."""
    bad = {
        "import pickle": loads_code,
        "from dill import loads": loads_code,
        "eval('1')": runs_text,
        "import yaml; yaml.load(text)": loads_yaml_objects,
        "import yaml; yaml.load(text, Loader=yaml.Loader)": loads_yaml_objects,
        "run('ls', shell=True)": asks_a_shell,
        "import os; os.system('ls')": asks_a_shell,
    }
    for text, check in bad.items():
        assert any(check(node) for node in ast.walk(ast.parse(text))), text
    for text in ("yaml.safe_load(text)", "run(['ls'])", "re.compile('x')", "run(x, shell=False)"):
        assert not any(check(node) for check in bad.values() for node in ast.walk(ast.parse(text))), text


def test_deciders_know_no_clock_and_no_chance():
    """A decider gets the time; it asks nobody for it."""
    deciders = sorted((PACKAGES["skynb_clusters"] / "deciders").glob("*.py"))
    assert len(deciders) > 3
    assert [place for place, node in nodes(deciders) if imported(node) & NO_CLOCK_NO_CHANCE] == []


def test_modules_are_small(sources):
    """No module is longer than 600 lines."""
    lengths = {path: len(path.read_text().splitlines()) for path in sources}
    assert {path: lines for path, lines in lengths.items() if lines > MODULE_LINES} == {}


def test_functions_are_small(sources):
    """No function is longer than 60 lines; a migration is a table, written once."""
    long = [
        f"{place} {node.name}"
        for place, node in nodes(sources)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and "/migrations/" not in place
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ]
    assert long == []
