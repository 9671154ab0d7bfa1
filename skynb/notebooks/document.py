"""A notebook as JSON: parameters go in, and what its cells gave. nbformat would take a second to load."""

from __future__ import annotations

import ast
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skynb.errors import SpecError

PARAMETERS, INJECTED = "parameters", "injected-parameters"


class Document:
    """One notebook of format 4, in Python. cells: as in the file, each text in one piece."""

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        cells = content.get("cells")
        if content.get("nbformat") != 4 or not isinstance(cells, list):
            raise SpecError(
                "that is no notebook of format 4", where=where, mend="Open and save it in Jupyter"
            )
        about = content.get("metadata") or {}
        spec, info = about.get("kernelspec") or {}, about.get("language_info") or {}
        language = info.get("name") or spec.get("language") or "python"
        if "python" not in str(language).lower():
            raise SpecError(f"notebooks in {language!r} are not run", where=where, mend="Python ones are")
        self.content = {**content, "cells": [{**cell, "source": _text(cell.get("source"))} for cell in cells]}
        self._where = where

    @classmethod
    def read(cls, path: Path) -> Document:
        """SpecError for a file that cannot be read, or is no notebook."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SpecError(f"{path} cannot be read", why=str(error), where="notebook") from None
        if not isinstance(content, dict):
            raise SpecError("that is no notebook of format 4", where=str(path))
        return cls(content, str(path))

    @property
    def cells(self) -> list[dict[str, Any]]:
        cells: list[dict[str, Any]] = self.content["cells"]
        return cells

    def tagged(self, tag: str) -> bool:
        """Whether one of its code cells has this tag."""
        return any(tag in _tags(cell) for cell in self.cells if cell.get("cell_type") == "code")

    def code(self) -> list[str]:
        """The texts of its code cells."""
        return [cell["source"] for cell in self.cells if cell.get("cell_type") == "code"]

    def set_parameters(self, values: Mapping[str, Any]) -> None:
        """A cell of assignments behind the one tagged `parameters`, in place of an older such cell.

        SpecError for a name that the tagged cell does not assign, and for a value that is no plain data.
        """
        if not values:
            return
        at = next((n for n, cell in enumerate(self.cells) if PARAMETERS in _tags(cell)), None)
        if at is None:
            mend = f"Tag the cell with the defaults `{PARAMETERS}`"
            raise SpecError(f"no cell is tagged `{PARAMETERS}`", where=self._where, mend=mend)
        known = _assigned(self.cells[at]["source"])
        if unknown := sorted(set(values) - known):
            mend = f"It has {', '.join(sorted(known)) or 'none'}"
            raise SpecError(f"the notebook has no parameter {unknown[0]!r}", where="parameters", mend=mend)
        lines = [f"{name} = {_literal(name, value)}" for name, value in values.items()]
        rest = [cell for cell in self.cells if INJECTED not in _tags(cell)]
        at = rest.index(self.cells[at])
        cell: dict[str, Any] = {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {"tags": [INJECTED]},
            "outputs": [],
            "source": "\n".join(["# Parameters", *lines]),
        }
        if self.content.get("nbformat_minor", 0) >= 5:
            cell["id"] = INJECTED
        self.content["cells"] = [*rest[: at + 1], cell, *rest[at + 1 :]]

    def clear(self) -> None:
        """Take away what earlier runs gave."""
        for cell in self.cells:
            if cell.get("cell_type") == "code":
                cell["outputs"], cell["execution_count"] = [], None
                cell["metadata"] = {
                    key: value for key, value in (cell.get("metadata") or {}).items() if key != "skynb"
                }

    def take(self, record: Mapping[str, Any]) -> bool:
        """What the journal says of a cell; False if that is nothing of this notebook."""
        at = record.get("cell")
        if not isinstance(at, int) or not 0 <= at < len(self.cells):
            return False
        cell = self.cells[at]
        about = cell.setdefault("metadata", {})
        if record.get("event") == "cell":
            cell["outputs"] = list(record.get("outputs") or ())
            cell["execution_count"] = record.get("execution_count")
            about["skynb"] = dict(record.get("about") or {})
        elif record.get("event") == "again":
            about["skynb"] = {**about.get("skynb", {}), "again": record.get("why")}
        elif record.get("event") == "hook":
            about["skynb"] = dict(record.get("about") or {})
        return True

    def save(self, path: Path) -> None:
        """All of it or nothing."""
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(self.content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        draft.replace(path)


def parameter(text: str) -> Any:
    """A value as it is typed: JSON or a Python literal, else a text."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text


def _text(source: Any) -> str:
    return "".join(source) if isinstance(source, list) else str(source or "")


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return list((cell.get("metadata") or {}).get("tags") or ())


def _assigned(source: str) -> set[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return set()
    return {one.id for one in ast.walk(tree) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}


def _literal(name: str, value: Any) -> str:
    plain = isinstance(value, (str, int, float, bool, list, tuple, dict, type(None)))
    if not plain or (isinstance(value, float) and not math.isfinite(value)):
        what = f"{type(value).__name__} is no plain value"
        raise SpecError(what, where=f"parameters.{name}", mend="Numbers, texts, lists and mappings are")
    try:
        same = ast.literal_eval(repr(value)) == value
    except (ValueError, SyntaxError):
        same = False
    if not same:
        raise SpecError(f"{value!r} cannot be written into a cell", where=f"parameters.{name}")
    return repr(value)
