"""Cells tagged `skynb-checkpoint`: they run when the infra says that it takes the machine.

Beside the cell that is running, where the kernel can do that (subshells, ipykernel 7), else behind it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty
from threading import Event, Thread
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

from .journal import MARK
from .resume import HOOK, Cell

_LOOK_S, _ANSWER_S = 0.5, 5.0


class Hook(Thread):
    """Waits for the file `warned`, then runs the cells once. told(cell, status, seconds) hears of each."""

    def __init__(
        self,
        cells: Sequence[Cell],
        warned: Path,
        connection_file: str,
        say: Callable[[str], None],
        told: Callable[[Cell, str, float], None],
    ) -> None:
        super().__init__(name="hook", daemon=True)
        self._cells, self._warned, self._connection_file = cells, warned, connection_file
        self._say, self._told = say, told
        self._over = Event()

    def end(self) -> None:
        """The notebook has come to its end: nothing needs to be saved any more."""
        self._over.set()
        self.join()

    def run(self) -> None:
        """The thread's own work."""
        while not self._warned.exists():
            if self._over.wait(_LOOK_S):
                return
        client = BlockingKernelClient()
        client.load_connection_file(self._connection_file)
        client.start_channels()
        try:
            _until_heard(client)
            beside = _subshell(client)
            for cell in self._cells:
                self._say(f"[{HOOK}] the machine is to go\n")
                begun = time.time()
                status = self._execute(client, cell.source, beside)
                self._told(cell, status, round(time.time() - begun, 3))
        finally:
            client.stop_channels()

    def _execute(self, client: BlockingKernelClient, source: str, beside: str | None) -> str:
        asked = {"code": source, "silent": False, "store_history": False, "allow_stdin": False}
        message = client.session.msg("execute_request", {**asked, "stop_on_error": False})
        if beside is not None:
            message["header"]["subshell_id"] = beside
        client.shell_channel.send(message)
        status = "done"
        while True:
            try:
                got = client.get_iopub_msg(timeout=_LOOK_S)
            except Empty:
                if self._over.is_set():
                    return "left"
                continue
            if got["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            content = got["content"]
            if got["msg_type"] == "stream":
                self._say(content["text"].replace(MARK, "?"))
            elif got["msg_type"] == "error":
                status = "error"
                self._say("\n".join(content["traceback"]).replace(MARK, "?") + "\n")
            elif got["msg_type"] == "status" and content["execution_state"] == "idle":
                return status


def _until_heard(client: BlockingKernelClient) -> None:
    """What the kernel publishes arrives from here on."""
    for _ in range(int(_ANSWER_S / _LOOK_S)):
        client.control_channel.send(client.session.msg("kernel_info_request", {}))
        try:
            client.get_iopub_msg(timeout=_LOOK_S)
        except Empty:
            continue
        return


def _subshell(client: BlockingKernelClient) -> str | None:
    """A second shell on the same names, or None where the kernel has none."""
    asked: dict[str, Any] = client.session.msg("create_subshell_request", {})
    client.control_channel.send(asked)
    try:
        while True:
            got = client.get_control_msg(timeout=_ANSWER_S)
            if got["parent_header"].get("msg_id") == asked["header"]["msg_id"]:
                beside: str | None = got["content"].get("subshell_id")
                return beside
    except Empty:
        return None
