"""Kernels of notebooks in a real Jupyter server, over its own API, and what becomes of them when it stops."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from skynb import kernels
from tests.support.site import site, until

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("remote-kernels")]
TOKEN = "for-this-test-alone"


@pytest.fixture(scope="module")
def here():
    with site() as made:
        made.launch("lab", resources={"infra": "local"})
        until(lambda: "skynb-lab" in KernelSpecManager().find_kernel_specs(), 60)
        yield made


class Jupyter:
    """A Jupyter server, and what its front end asks of it."""

    def __init__(self, folder: Path) -> None:
        argv = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--port=0"]
        argv += [f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}"]
        runtime = folder / "runtime"
        with (folder / "jupyter.log").open("ab") as log:
            env = os.environ | {"JUPYTER_RUNTIME_DIR": str(runtime), "TMPDIR": str(folder)}
            self.process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
        card = until(lambda: next(runtime.glob(f"jpserver-{self.process.pid}.json"), None), 60)
        self.url = until(lambda: card.read_text() and json.loads(card.read_text()))["url"]
        until(self._answers, 30)

    def open(self, path: str) -> str:
        """The kernel of a notebook, started if need be, as when the notebook is opened."""
        body = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "skynb-lab"}}
        return str(self.ask("POST", "api/sessions", body)["kernel"]["id"])

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=90) as answer:
            return json.loads(answer.read() or b"null")

    def run(self, kernel: str, code: str) -> str:
        """What a cell writes, over the websocket of the kernel's channels."""
        return asyncio.run(self._run(kernel, code))

    async def _run(self, kernel: str, code: str) -> str:
        url = f"{self.url.replace('http', 'ws', 1)}api/kernels/{kernel}/channels"
        line = await websocket_connect(HTTPRequest(url, headers={"Authorization": f"token {TOKEN}"}))
        number, text = uuid4().hex, ""
        header = {"msg_id": number, "msg_type": "execute_request", "session": uuid4().hex, "version": "5.3"}
        header |= {"username": "", "date": ""}
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        await line.write_message(json.dumps({**message, "channel": "shell", "buffers": []}))
        while True:
            found = json.loads(await line.read_message())
            if found["parent_header"].get("msg_id") == number:
                text += found["content"].get("text", "")
                if found["content"].get("execution_state") == "idle":
                    line.close()
                    line.stream.close()
                    return text

    def stop(self, how: int = signal.SIGTERM) -> None:
        self.process.send_signal(how)
        self.process.wait(60)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("GET", "api/status"))
        except OSError:
            return False


@contextmanager
def jupyter(folder: Path) -> Iterator[Jupyter]:
    made = Jupyter(folder)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()


def test_a_notebook_has_its_kernel_there(here, tmp_path):
    """Started, interrupted, restarted and shut down by the server's API, as Lab does it."""
    with jupyter(tmp_path) as server:
        specs = server.ask("GET", "api/kernelspecs")["kernelspecs"]
        assert specs["skynb-lab"]["spec"]["display_name"] == "Python (lab · this-machine)"
        kernel = server.open("study.ipynb")
        assert "local/local-" in server.run(kernel, "import os; print(os.getcwd()); kept = 1")
        assert [one.session.endswith("study.ipynb") for one in kernels.ls("lab")] == [True]
        server.ask("POST", f"api/kernels/{kernel}/restart")
        assert server.run(kernel, "print('kept' in globals())") == "False\n"
        server.ask("DELETE", f"api/kernels/{kernel}")
        until(lambda: not kernels.ls("lab"), 30)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_stops_leaves_the_kernel(here, tmp_path, how):
    """Asked to stop, or killed: the notebook finds its kernel and what it held on the next server."""
    with jupyter(tmp_path) as first:
        first.run(first.open("long.ipynb"), "found = 42")
        first.stop(how)
    until(lambda: [one.attached for one in kernels.ls("lab")] == [False], 30)
    with jupyter(tmp_path) as second:
        kernel = second.open("long.ipynb")
        assert second.run(kernel, "print(found)") == "42\n"
        second.ask("DELETE", f"api/kernels/{kernel}")
    until(lambda: not kernels.ls("lab"), 30)
