"""A Jupyter server of a test's own, plain or with JupyterLab, and what its front end asks of it."""

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

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from tests.support.site import until

STOP_SECONDS = 15
TOKEN = "for-this-test-alone"
NO_NEWS = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}


class Jupyter:
    """A server whose files are in `folder`. lab: with JupyterLab. options: more of the command line."""

    def __init__(self, folder: Path, *options: str, lab: bool = False) -> None:
        program = ["jupyterlab", "--LabApp.expose_app_in_browser=True"] if lab else ["jupyter_server"]
        argv = [sys.executable, "-m", *program, "--no-browser", "--allow-root", "--port=0", "--ip=127.0.0.1"]
        argv += [f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}", *options]
        settings = folder / "config/labconfig/default_setting_overrides.json"
        settings.parent.mkdir(parents=True, exist_ok=True)
        settings.write_text(json.dumps(NO_NEWS))
        runtime = folder / "runtime"
        with (folder / "jupyter.log").open("ab") as log:
            env = os.environ | {"JUPYTER_RUNTIME_DIR": str(runtime), "TMPDIR": str(folder)}
            env |= {"JUPYTER_CONFIG_DIR": str(folder / "config"), "IPYTHONDIR": str(folder / "ipython")}
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
        """It may hang in anyio's threads if a request was under way as its loop stopped: killed then."""
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        try:
            return bool(self.ask("GET", "api/status"))
        except OSError:
            return False


@contextmanager
def jupyter(folder: Path, *options: str, lab: bool = False) -> Iterator[Jupyter]:
    """One that is stopped at the end."""
    made = Jupyter(folder, *options, lab=lab)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()
