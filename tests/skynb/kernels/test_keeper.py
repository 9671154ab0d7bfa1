"""The keeper alone, with a real kernel, over its socket."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from skynb.kernels.node.frames import Decoder, encode
from skynb_clusters.kinds.kernel import keeper_zipapp
from tests.support.site import until

if TYPE_CHECKING:
    from typing_extensions import Self

pytestmark = pytest.mark.timeout(120)


class Line:
    """One connection to the keeper, as a relay makes it."""

    def __init__(self, root: Path, client: str, after: int = 0) -> None:
        self.plug = socket.socket(socket.AF_UNIX)
        self.plug.settimeout(60)
        self.plug.connect(str(root / "kernel-1.sock"))
        self._decoder, self._frames = Decoder(), []
        self.send({"hello": client, "after": after})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.plug.close()

    def send(self, head, parts=()) -> None:
        self.plug.sendall(encode(head, parts))

    def ask(self, number: int, kind: str, channel: str = "shell", **content) -> str:
        """Send a request of the protocol as the frame of this number; the request's own name."""
        message = uuid4().hex
        header = {"msg_id": message, "msg_type": kind, "session": "s", "username": "", "version": "5.3"}
        parts = [json.dumps(header).encode(), b"{}", b"{}", json.dumps(content).encode()]
        self.send({"n": number, "ch": channel, "ids": 0}, parts)
        return message

    def read(self):
        """The next frame: its head, the message's type, its parent's name and its content."""
        while not self._frames:
            data = self.plug.recv(1 << 16)
            assert data, "the keeper hung up"
            self._frames += self._decoder.feed(data)
        head, parts = self._frames.pop(0)
        if "ch" not in head:
            return head, "", "", {}
        header, parent, _, content = (json.loads(part) for part in parts[head["ids"] : head["ids"] + 4])
        return head, header["msg_type"], parent.get("msg_id", ""), content

    def until(self, kind: str, parent: str = "", **content):
        """Read on to a message of this type; what was written before it."""
        text = ""
        while True:
            _, found, of, what = self.read()
            text += what["text"] if found == "stream" and what["name"] == "stdout" else ""
            if found == kind and of == (parent or of) and content.items() <= what.items():
                return text


Connect = Callable[[], Line]


@contextmanager
def keeper(lease: float = 60.0, **env: str) -> Iterator[tuple[Path, Connect, subprocess.Popen]]:
    """A keeper in a folder with a short name, and the way to it; ended, with its kernel, at the end."""
    with tempfile.TemporaryDirectory(prefix="sky") as folder, ExitStack() as lines:
        root = Path(folder)
        (root / "keeper.pyz").write_bytes(keeper_zipapp())
        argv = [sys.executable, str(root / "keeper.pyz"), "--root", folder, "--name", "kernel-1"]
        with (root / "log").open("wb") as log:
            process = subprocess.Popen(
                [*argv, "--lease", f"{lease}"], env=os.environ | env, stdout=log, stderr=log
            )
        try:
            until((root / "kernel-1.sock").exists, 30)
            yield root, lambda: lines.enter_context(Line(root, "me")), process
        finally:
            lines.close()
            process.terminate()
            process.wait(30)


def test_a_request_that_two_lines_bring_is_done_once():
    """The first line broke while the kernel was not ready; the second brings again what had no answer."""
    with keeper() as (_, connect, _):
        first, request = connect(), {"silent": False, "allow_stdin": False}
        first.ask(1, "execute_request", code="count = globals().get('count', 0) + 1", **request)
        second = connect()
        second.ask(1, "execute_request", code="count = globals().get('count', 0) + 1", **request)
        last = second.ask(2, "execute_request", code="print(count)", **request)
        assert second.until("status", last, execution_state="idle") == "1\n"


def test_other_requests_do_not_hide_that_a_cell_runs():
    """The kernel answers on its control channel meanwhile, and is busy and idle with that for a moment."""
    with keeper() as (root, connect, _):
        line, mark = connect(), root / "kernel-1.busy"
        cell = line.ask(1, "execute_request", code="import time; time.sleep(3)", silent=False)
        line.until("status", cell, execution_state="busy")
        other = line.ask(2, "kernel_info_request", "control")
        line.until("status", other, execution_state="idle")
        assert mark.exists()
        line.until("status", cell, execution_state="idle")
        until(lambda: not mark.exists())


def test_what_a_cell_gave_waits_for_the_whole_lease_after_its_end():
    """It worked for longer than the lease while nobody was there; who comes then still finds all of it."""
    with keeper(lease=4.0) as (root, connect, process):
        line = connect()
        cell = line.ask(1, "execute_request", code="import time; time.sleep(6); print('done')", silent=False)
        line.until("status", cell, execution_state="busy")
        line.plug.close()
        until(lambda: not (root / "kernel-1.busy").exists(), 60)
        time.sleep(2)
        assert process.poll() is None
        again = connect()
        assert again.until("status", cell, execution_state="idle") == "done\n"
        again.plug.close()
        assert process.wait(60) == 143
        assert "nobody was attached" in (root / "log").read_text()


def test_a_deep_folder_for_temporary_files_is_no_matter(tmp_path):
    """Names of sockets have room for some hundred bytes only."""
    deep = tmp_path / ("d" * 80)
    deep.mkdir()
    with keeper(TMPDIR=str(deep)) as (_, connect, _):
        line = connect()
        cell = line.ask(1, "execute_request", code="print('here')", silent=False)
        assert line.until("status", cell, execution_state="idle") == "here\n"
