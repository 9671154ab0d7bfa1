"""What a cell reads and what it makes, by its text. Where that is in doubt it makes more than less.

Makes: names that it binds, and things that it may change in place: what a method is called on, what is given
to a function, what the notebook's own functions change when they are called, and other names for the same
thing. An imported module is changed by a call whose value nobody takes (`np.random.seed(0)`), and by drawing
random numbers from it.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import NamedTuple

_HARMLESS = {
    "abs", "all", "any", "bool", "dict", "display", "enumerate", "float", "format", "hash", "int",
    "isinstance", "len", "list", "max", "min", "print", "range", "repr", "reversed", "round", "set", "sorted",
    "str", "sum", "tuple", "type", "zip",
}  # fmt: skip
_BLIND = {"exec", "eval", "globals", "get_ipython", "__import__"}
_IMPORTS = (ast.Import, ast.ImportFrom)
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Use(NamedTuple):
    """reads, makes: names. blind: what the cell does cannot be seen."""

    reads: set[str]
    makes: set[str]
    blind: bool = False


def uses_of(sources: Sequence[str]) -> list[Use]:
    """One for each cell; cells are looked at together, as one may call what another defines."""
    trees = [_parsed(source) for source in sources]
    every = [node for tree in trees if tree for node in ast.walk(tree)]
    modules = {name for node in every if isinstance(node, _IMPORTS) for name in _bound(node)}
    effects: dict[str, set[str]] = {}
    for node in every:
        if isinstance(node, _DEFINITIONS):
            effects.setdefault(node.name, set()).update(_changes(node, modules))
    same = _aliases(every, modules)
    return [_use(tree, modules, effects, same) for tree in trees]


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):  # magics, shell lines, another language
        return None


def _use(
    tree: ast.Module | None, modules: set[str], effects: dict[str, set[str]], same: dict[str, set[str]]
) -> Use:
    if tree is None:
        return Use(set(), set(), blind=True)
    reads = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Store)
    }
    stars = any(isinstance(node, ast.ImportFrom) and "*" in _bound(node) for node in ast.walk(tree))
    makes, called = _changes(tree, modules), list(reads)
    seen: set[str] = set()
    while called:  # what is called may call others
        name = called.pop()
        if name in effects and name not in seen:
            seen.add(name)
            makes |= effects[name]
            called += effects[name]
    for name in list(makes):
        makes |= same.get(name, set())
    return Use(reads, makes, stars or bool(reads & _BLIND))


def _changes(tree: ast.AST, modules: set[str]) -> set[str]:
    """Names that are bound, and those whose things may be changed."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, (*_DEFINITIONS, *_IMPORTS, ast.ExceptHandler, ast.Global)):
            found |= _bound(node)
        elif isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
            found |= _names(node.value)  # x.a = 1, x[0] = 1
        elif isinstance(node, ast.Call):
            found |= _touched(node) - modules
            if "rand" in ast.dump(node.func) or "seed" in ast.dump(node.func):
                found |= _names(node.func)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            found |= _touched(node.value)
    return found


def _bound(node: ast.AST) -> set[str]:
    if isinstance(node, _IMPORTS):
        return {(one.asname or one.name).partition(".")[0] for one in node.names}
    if isinstance(node, ast.Global):
        return set(node.names)
    name = getattr(node, "name", None)
    return {name} if name else set()


def _touched(call: ast.Call) -> set[str]:
    """What a call may change: its arguments, and what it is a method of."""
    function = call.func
    if isinstance(function, ast.Name):
        if function.id in _HARMLESS:
            return set()
        touched = {function.id}
    else:
        touched = _names(function)
    for argument in (*call.args, *(one.value for one in call.keywords)):
        touched |= _names(argument)
    return touched


def _aliases(nodes: Sequence[ast.AST], modules: set[str]) -> dict[str, set[str]]:
    """Names that may be names of one thing, or of one and a part of it."""
    groups: dict[str, set[str]] = {}
    for node in nodes:
        if isinstance(node, ast.Assign):
            names = {name for one in node.targets for name in _names(one)} | _names(node.value)
        elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
            names = _names(node.target) | _names(node.value)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            names = _names(node.target) | _names(node.iter)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            names = _names(node.optional_vars) | _names(node.context_expr)
        else:
            continue
        names -= modules
        group = set().union(names, *(groups.get(name, ()) for name in names))
        groups.update(dict.fromkeys(group, group))
    return groups


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
