"""What this interpreter has: installed versions, editable installs, and loose modules on `sys.path`."""

from __future__ import annotations

import ast
import json
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

_NEVER = {"pip", "setuptools", "wheel", "uv"}  # tools of an environment, not what runs in it
_STANDARD = {*sys.stdlib_module_names, "__main__"}


class Pin(msgspec.Struct, frozen=True):
    """One installed distribution. needs: what others require of it, as they write it, with their markers."""

    name: str
    version: str
    source: str = ""  # `name @ address`, where it did not come from an index
    needs: tuple[str, ...] = ()

    @property
    def requirement(self) -> str:
        return self.source or f"{self.name}=={self.version}"


class Environment(msgspec.Struct, frozen=True):
    """What an interpreter has.

    python: as `3.11.7`. editable: project folders by distribution. roots: folders on `sys.path` that lie in
    them. modules: files and packages of no distribution, by the name under which they are imported. also:
    requirements of the work itself, beside what is installed.
    """

    python: str
    pins: tuple[Pin, ...]
    editable: Mapping[str, Path] = {}
    roots: tuple[Path, ...] = ()
    modules: Mapping[str, Path] = {}
    also: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = [f"Python {self.python}, {len(self.pins)} distributions"]
        parts += [f"in place: {', '.join(self.editable)}"] if self.editable else []
        parts += [f"modules: {', '.join(sorted(self.modules))}"] if self.modules else []
        return "; ".join(parts)


def read(
    names: Iterable[str] = (),
    *,
    path: Sequence[str] | None = None,
    beside: Path | None = None,
    also: Sequence[str] = (),
) -> Environment:
    """The environment of this interpreter, with the modules that `names` are, and that those import in turn.

    path: in place of `sys.path`. beside: a folder that is looked through first, such as a notebook's own.
    also: distributions that must be there, of whichever version if none is here.
    """
    places = [str(beside), *(path or sys.path)] if beside is not None else list(path or sys.path)
    found = {str(canonicalize_name(one.name)): one for one in reversed(list(distributions(path=places)))}
    editable = {name: place for name, one in found.items() if (place := _project(one)) is not None}
    wanted = _wanted(found.values())
    pins = [
        Pin(one.name, one.version, _source(one), tuple(wanted.get(name, ())))
        for name, one in sorted(found.items())
        if name not in editable and name not in _NEVER
    ]
    roots = [Path(place).resolve() for place in places if Path(place).is_dir()]
    inside = tuple(root for root in roots if any(root.is_relative_to(one) for one in editable.values()))
    modules = dict(_loose(names, places, tuple(editable.values())))
    missing = tuple(name for name in also if canonicalize_name(name) not in found)
    python = "{}.{}.{}".format(*sys.version_info)
    return Environment(python, tuple(pins), editable, inside, modules, missing)


def imported(sources: Iterable[str]) -> set[str]:
    """The top-level modules that these texts import. What is no Python imports nothing that can be seen."""
    found: set[str] = set()
    for source in sources:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            lines = [line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))]
            try:
                tree = ast.parse("\n".join(lines))
            except (SyntaxError, ValueError):
                continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                found.add(node.module.partition(".")[0])
    return found


def _loose(
    names: Iterable[str], places: Sequence[str], projects: Sequence[Path]
) -> Iterator[tuple[str, Path]]:
    """Modules of no distribution, and those that they import."""
    kept_apart = [*projects, *(Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib"))]
    left, seen = set(names), set(_STANDARD)
    while left - seen:
        name = min(left - seen)
        seen.add(name)
        place = _found(name, places)
        if place is None or any(place.is_relative_to(one) for one in kept_apart):
            continue
        yield name, place
        files = [place] if place.is_file() else sorted(place.rglob("*.py"))
        left |= imported(one.read_text(encoding="utf-8", errors="replace") for one in files)


def _found(name: str, places: Sequence[str]) -> Path | None:
    """The file or folder of a top-level module. It is looked for, never imported."""
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec(name, [one or "." for one in places])
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return Path(spec.origin).resolve() if spec.origin else None


def _direct(one: Distribution) -> dict[str, object]:
    try:
        found = json.loads(one.read_text("direct_url.json") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _project(one: Distribution) -> Path | None:
    """The folder of an editable install."""
    found = _direct(one)
    about = found.get("dir_info")
    if not isinstance(about, dict) or not about.get("editable"):
        return None
    return Path(unquote(urlsplit(str(found.get("url"))).path)).resolve()


def _source(one: Distribution) -> str:
    """Where a distribution came from if from no index: a commit, or an archive that others can reach."""
    found = _direct(one)
    url, vcs = str(found.get("url") or ""), found.get("vcs_info")
    if isinstance(vcs, dict) and vcs.get("vcs") and vcs.get("commit_id"):
        return f"{one.name} @ {vcs['vcs']}+{url}@{vcs['commit_id']}"
    return f"{one.name} @ {url}" if url.startswith("https:") else ""


def _wanted(found: Iterable[Distribution]) -> dict[str, list[str]]:
    """What these require, by distribution."""
    wanted: dict[str, list[str]] = {}
    for one in found:
        for need in one.requires or ():
            with suppress(InvalidRequirement):
                wanted.setdefault(canonicalize_name(Requirement(need).name), []).append(need)
    return wanted
