"""YAML in and out, with every way in which a text can be wrong told as a SpecError with line and column."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from skynb.spec.checks import MAX_DEPTH, MAX_NODES, fail

if TYPE_CHECKING:
    from pathlib import Path

_QUOTED = re.compile(r"'[^'<]{2,}'")  # a parser's message may quote the text, which may hold a secret
_RARE_BREAKS = re.compile("[\\r\\x85\\u2028\\u2029\\ufeff]")
_MAX_BYTES = 4 * 2**20


def read_documents(text: str | bytes, where: str = "") -> list[Any]:
    """The documents of a YAML text in plain types. Keys given twice and unbounded aliases are errors."""
    import yaml

    text = _decoded(text, where)
    try:
        return _load(text)
    except yaml.MarkedYAMLError as error:
        problem = _QUOTED.sub("a word", error.problem or error.context or "it does not parse")
        mark = error.problem_mark or error.context_mark
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    except yaml.YAMLError as error:
        problem, at = getattr(error, "reason", None) or "it does not parse", ""
    except (ValueError, OverflowError, RecursionError, TypeError, AttributeError, KeyError, IndexError):
        # What PyYAML's constructors let through for values that only look like numbers, dates or sets.
        problem, at = "a value does not parse as the kind that it looks like", ""
    return fail(
        where, f"this is not valid YAML{at}: {problem}", mend="Check indentation, quotes and colons there"
    )


def write_documents(documents: list[Any]) -> str:
    """The documents as YAML, texts of several lines as blocks."""
    import yaml

    return yaml.dump_all(documents, Dumper=_dumper(), sort_keys=False, allow_unicode=True, width=100)


def read_file(path: str | Path) -> str:
    """The text of a spec file; SpecError when it cannot be read."""
    from pathlib import Path  # slow to load, and a task may come without any file

    file = Path(path).expanduser()
    try:
        data = file.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not a path"
    else:
        return _decoded(data, str(file))
    return fail(str(path), "the file cannot be read", why=why, mend="Check the path")


def _decoded(text: str | bytes, where: str) -> str:
    if len(text) > _MAX_BYTES:
        fail(where, f"the text is larger than {_MAX_BYTES // 2**20} MiB")
    if isinstance(text, bytes):
        try:
            return text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            start = error.start
        fail(where, f"this is not UTF-8 text (byte {start})", mend="Save the file as UTF-8")
    return text.removeprefix("\ufeff")


def _load(text: str) -> list[Any]:
    _check_depth(text)
    loader = _loader()(text)
    documents = []
    try:
        while loader.check_data():
            documents.append(loader.get_data())
    finally:
        loader.dispose()
    return documents


def _check_depth(text: str) -> None:
    """Refuse deep nesting from the flat stream of events: composing it would overflow the C stack."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=_base_loader()):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _problem("it is nested too deeply", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _base_loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def _loader() -> Any:
    base = _base_loader()

    class Loader(base):  # type: ignore[misc,valid-type]
        """Safe types only; dates stay text, as they end up as such in every field."""

        yaml_implicit_resolvers = {  # noqa: RUF012 - the base's shape
            first: [(tag, pattern) for tag, pattern in rows if tag != "tag:yaml.org,2002:timestamp"]
            for first, rows in base.yaml_implicit_resolvers.items()
        }

        def construct_document(self, node: Any) -> Any:
            _check_nodes(node)
            return super().construct_document(node)

    return Loader


def _check_nodes(root: Any) -> None:
    """Refuse keys given twice, values that contain themselves, and aliases that unfold without bound."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def size(node: Any) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_nodes:
            raise _problem("a value contains itself", node)
        open_nodes.add(id(node))
        total = 1 + sum(map(size, _children(node)))
        open_nodes.discard(id(node))
        if total > MAX_NODES:
            raise _problem("it is too large", node)
        sizes[id(node)] = total
        return total

    size(root)


def _children(node: Any) -> list[Any]:
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if not isinstance(node, yaml.MappingNode):
        return []
    seen = set()
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                raise _problem(f"the key `{key.value[:60]}` is given twice", key)
            seen.add((key.tag, key.value))
    return [part for pair in node.value for part in pair]


def _problem(problem: str, node: Any) -> Exception:
    import yaml

    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


@cache
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Block style, and no anchors: a reader sees every value where it stands."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        # PyYAML folds the rarer line ends, and what comes back is not what was written.
        style = '"' if _RARE_BREAKS.search(value) else "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return Dumper
