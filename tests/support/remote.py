"""Kernels on clusters as Jupyter's own programs use them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from skynb import kernels
from tests.support.hosts import Host, Lab
from tests.support.site import Site, until


class Remote:
    """A kernel manager and its client, on one kernelspec."""

    def __init__(self, name: str, session: str = "") -> None:
        self.manager = KernelManager(kernel_name=name)
        self.manager.start_kernel(env={"JPY_SESSION_NAME": session, "SECRET": "canary-of-this-side"})
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str, timeout: float = 60, **options: Any) -> list[tuple[str, Any]]:
        """What a cell gives: ("stdout", text), ("result", text), ("error", name), ("data", bundle)."""
        return self.outputs(self.client.execute(code, **options), timeout)

    def outputs(self, number: str, timeout: float = 60) -> list[tuple[str, Any]]:
        """What the cell that was asked for by this message gives, to its end."""
        found: list[tuple[str, Any]] = []
        deadline = time.monotonic() + timeout
        while True:
            message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            if message["parent_header"].get("msg_id") != number:
                continue
            content = message["content"]
            kind = message["msg_type"]
            if kind == "stream":
                found.append((content["name"], content["text"]))
            elif kind == "execute_result":
                found.append(("result", content["data"]["text/plain"]))
            elif kind == "display_data":
                found.append(("data", content["data"]))
            elif kind == "error":
                found.append(("error", content["ename"]))
            elif kind == "status" and content["execution_state"] == "idle":
                while self.client.get_shell_msg(timeout=10)["parent_header"].get("msg_id") != number:
                    pass
                return found

    def text(self, code: str, timeout: float = 60) -> str:
        """All that a cell writes to standard output."""
        return "".join(str(what) for kind, what in self.run(code, timeout) if kind == "stdout")

    def close(self) -> None:
        """Shut the kernel down, as Jupyter does."""
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel()


def distant(lab: Lab, here: Site) -> Host:
    """A cluster `distant` on a host of its own, with this project's Python as its kernel `venv`."""
    host = lab.up("far", shows=(sys.prefix, sys.base_prefix))
    pool = f"lab: {{user: root, identity_file: {lab.key}, hosts: [{host.address}]}}\n"
    (here.home / "ssh_pools.yaml").write_text(pool)
    here.launch("distant", resources={"infra": "ssh/lab"})
    until(lambda: "skynb-distant" in KernelSpecManager().find_kernel_specs(), 60)
    kernels.add("distant", "venv", python=sys.executable)
    return host


@contextmanager
def remote(name: str, session: str = "") -> Iterator[Remote]:
    """A kernel that is shut down at the end."""
    made = Remote(name, session)
    try:
        yield made
    finally:
        made.close()
