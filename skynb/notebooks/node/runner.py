"""Runs a notebook on a node, cell by cell: each result is saved, and told in the journal, before the next."""

from __future__ import annotations

import argparse
import copy
import os
import sys
import time
from pathlib import Path
from threading import Lock
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

from .hook import Hook
from .journal import MARK, line, records
from .resume import ALWAYS, HOOK, Cell, Step, print_of, steps
from .store import Store

KERNEL = "python3"
WARNED = "~/.skynb-notebook/warned"  # is there once the infra says that it takes the machine
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
        code = [
            Cell(index, cell.source, cell.metadata.get("tags", ()))
            for index, cell in enumerate(notebook.cells)
            if cell.cell_type == "code"
        ]
        self._saving = Lock()  # the hook's thread does, too
        self._hooks = [cell for cell in code if HOOK in cell.tags]
        self._code = [cell for cell in code if HOOK not in cell.tags]

    def run(self) -> int:
        """All cells, in order."""
        _log.say(line({"event": "notebook", "content": self._notebook}))
        finished = {at: one["print"] for at, one in self._before.items() if one.get("status") == "done"}
        plan = steps(self._code, finished)
        if all(step.action == "keep" for step in plan):
            self._save_kept(plan)
            return 0
        client = _Client(self._notebook, kernel_name=KERNEL, timeout=None, allow_errors=False)
        store = Store.asked(lambda code: self._beside(client, code))
        with open(os.devnull, "wb") as nowhere, client.setup_kernel(stdout=nowhere, stderr=nowhere):  # noqa: PTH123
            hook = Hook(
                self._hooks, Path(WARNED).expanduser(), client.km.connection_file, _log.say, self._hooked
            )
            if self._hooks:
                hook.start()
            try:
                return self._steps(
                    client, plan if store is None else self._taken_up(client, store, plan), store
                )
            finally:
                if self._hooks:
                    hook.end()

    def _steps(self, client: _Client, plan: list[Step], store: Store | None) -> int:
        for number, step in enumerate(plan, 1):
            if not self._step(client, number, step):
                return 1
            if store is not None and step.action == "run" and number < len(plan):
                always = [cell for cell in self._code if ALWAYS in cell.tags]
                _log.say(f"session {store.keep(self._code[:number], always)}\n")
        if store is not None:
            store.end()
        return 0

    def _taken_up(self, client: _Client, store: Store, plan: list[Step]) -> list[Step]:
        """The plan, with what the kernel held after the finished cells in place of running them again."""
        first = next(number for number, step in enumerate(plan) if step.action == "run")
        before = self._code[:first]
        if not store.has(before):
            return plan
        ready = []
        for cell in before:
            if ALWAYS not in cell.tags:
                ready.append(Step(cell.at, "keep"))
                continue
            if wrong := self._beside(client, cell.source):
                _log.say(f"session not taken up: a cell tagged {ALWAYS} failed: {wrong}\n")
                return plan
            ready.append(Step(cell.at, "ran", f"tagged {ALWAYS}"))
        if wrong := store.take(before):
            _log.say(f"session not taken up: {wrong}\n")
            return plan
        _log.say("session taken up\n")
        return [*ready, *plan[first:]]

    def _beside(self, client: _Client, code: str) -> str:
        """Run code whose outputs nobody sees. What went wrong, or nothing."""
        cells = self._notebook.cells
        at, first = self._code[0].at, cells[self._code[0].at]
        scratch = nbformat.v4.new_code_cell(code)
        try:
            client.execute_cell(scratch, at, store_history=False)
        except CellExecutionError:
            return " ".join(str(scratch.outputs[-1].get("evalue")).split())  # one line, and no mark in it
        except DeadKernelError:
            return "the kernel died"
        finally:
            cells[at] = first  # nbclient puts what it executes in the notebook
        return ""

    def _hooked(self, cell: Cell, status: str, took: float) -> None:
        about = {"status": status, "attempt": self._attempt, "seconds": took}
        self._notebook.cells[cell.at].metadata["skynb"] = about
        self._save()
        _log.say(line({"event": "hook", "cell": cell.at, "about": about}))

    def _step(self, client: _Client, number: int, step: Step) -> bool:
        cell = self._notebook.cells[step.at]
        place = f"[{number}/{len(self._code)}]"
        if step.action in ("keep", "ran"):
            self._restore(cell, step, number)
            if step.action == "ran":
                self._tell(step, number, "done", 0.0, again=True)
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
        about.update({"again": step.why} if step.action in ("again", "ran") else {})
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
        with self._saving:
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
