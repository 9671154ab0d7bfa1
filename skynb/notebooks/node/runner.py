"""Runs a notebook on a node, cell by cell: each result is saved, and told in the journal, before the next."""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from .journal import MARK, line, records
from .resume import Cell, Step, print_of, steps

KERNEL = "python3"
_HEAD = 60  # characters of a cell's first line that are told


def main(argv: list[str]) -> int:
    """0 if every cell ended well, 1 if one did not; what it gave is saved in any case."""
    parser = argparse.ArgumentParser(prog="notebook")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args(argv)
    notebook = nbformat.read(str(options.notebook), as_version=4)
    return Run(notebook, options.output, earlier()).run()


def earlier() -> dict[int, dict[str, Any]]:
    """What earlier attempts finished, the latest of each cell."""
    path = Path(os.environ.get("SKYNB_JOURNAL", "")).expanduser()
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", errors="replace") as lines:
        return {one["cell"]: one for one in records(lines) if one.get("event") == "cell"}


class Run:
    """One attempt at a notebook."""

    def __init__(self, notebook: Any, output: Path, before: dict[int, dict[str, Any]]) -> None:
        self._notebook = notebook
        self._output = output
        self._before = before
        self._attempt = int(os.environ.get("SKYNB_ATTEMPT", "1"))
        self._code = [
            Cell(index, cell.source, cell.metadata.get("tags", ()))
            for index, cell in enumerate(notebook.cells)
            if cell.cell_type == "code"
        ]

    def run(self) -> int:
        """All cells, in order."""
        _log.say(line({"event": "notebook", "content": self._notebook}))
        finished = {at: one["print"] for at, one in self._before.items() if one.get("status") == "done"}
        plan = steps(self._code, finished)
        if all(step.action == "keep" for step in plan):
            self._save_kept(plan)
            return 0
        client = _Client(self._notebook, kernel_name=KERNEL, timeout=None, allow_errors=False)
        with open(os.devnull, "wb") as nowhere, client.setup_kernel(stdout=nowhere, stderr=nowhere):  # noqa: PTH123
            for number, step in enumerate(plan, 1):
                if not self._step(client, number, step):
                    return 1
        return 0

    def _step(self, client: _Client, number: int, step: Step) -> bool:
        cell = self._notebook.cells[step.at]
        place = f"[{number}/{len(self._code)}]"
        if step.action == "keep":
            self._restore(cell, step, number)
            _log.say(f"{place} kept from attempt {self._before[step.at].get('attempt', 1)}\n")
            return True
        head = next(iter(cell.source.strip().splitlines()), "")[:_HEAD]
        _log.say(f"{place} {head}" + (f"  ({step.why})" if step.why else "") + "\n")
        begun = time.time()
        status = self._execute(client, cell, step.at, number)
        again = step.action == "again" and status == "done"
        if again:
            self._restore(cell, step, number)
        took = round(time.time() - begun, 3)
        self._tell(step, number, status, took, again=again)
        _log.say(f"{place} {status} in {took:.1f} s\n")
        return status == "done"

    def _execute(self, client: _Client, cell: Any, index: int, number: int) -> str:
        try:
            client.execute_cell(cell, index, execution_count=number)
        except CellExecutionError:
            _log.say("\n".join(cell.outputs[-1].get("traceback", ())).replace(MARK, "?") + "\n")
            return "error"
        except DeadKernelError:
            text = "The kernel of this notebook died while the cell ran."
            told = {"ename": "DeadKernel", "evalue": text, "traceback": [text]}
            cell.outputs.append(nbformat.v4.new_output("error", **told))
            _log.say(f"{text}\n")
            return "error"
        return "done"

    def _restore(self, cell: Any, step: Step, number: int) -> None:
        """A cell as an earlier attempt left it."""
        cell.outputs = [nbformat.from_dict(one) for one in self._before[step.at]["outputs"]]
        cell.execution_count = number
        about = dict(self._before[step.at]["about"])
        about.update({"again": step.why} if step.action == "again" else {})
        cell.metadata["skynb"] = about
        self._save()

    def _save_kept(self, plan: list[Step]) -> None:
        for number, step in enumerate(plan, 1):
            self._restore(self._notebook.cells[step.at], step, number)

    def _tell(self, step: Step, number: int, status: str, took: float, *, again: bool) -> None:
        cell = self._notebook.cells[step.at]
        if again:
            record = {"event": "again", "cell": step.at, "why": step.why, "attempt": self._attempt}
        else:
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output["execution_count"] = number
            about = {"status": status, "attempt": self._attempt, "seconds": took}
            about.update({"why": step.why} if step.why else {})
            cell.metadata["skynb"] = about
            record = {
                "event": "cell",
                "cell": step.at,
                "print": print_of(cell.source),
                "status": status,
                "attempt": self._attempt,
                "about": about,
                "outputs": copy.deepcopy(cell.outputs),
                "execution_count": number,
            }
        self._save()
        _log.say(line(record))

    def _save(self) -> None:
        draft = self._output.with_name(f".{self._output.name}.{os.getpid()}")
        nbformat.write(self._notebook, str(draft))
        draft.replace(self._output)


class _Client(NotebookClient):
    """Also prints what cells print, while they do."""

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        if msg["msg_type"] == "stream":
            _log.pass_on(msg["content"]["text"].replace(MARK, "?"))
        return super().process_message(msg, cell, cell_index)


class _Log:
    """Standard output: lines of ours, and what cells print, which need not end in one."""

    def __init__(self) -> None:
        self._open = False

    def say(self, text: str) -> None:
        """Lines of our own."""
        self.pass_on(("\n" if self._open else "") + text)

    def pass_on(self, text: str) -> None:
        """What a cell printed, as it is."""
        sys.stdout.write(text)
        sys.stdout.flush()
        self._open = not text.endswith("\n") if text else self._open


_log = _Log()
