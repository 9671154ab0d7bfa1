"""A scratch home with its own server; whatever was started in it is ended."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from skynb.client import server
from skynb.client.http import Connection
from skynb.wire import CheckInfo, ClusterInfo, LaunchAnswer, LaunchRequest

SKYNB = str(Path(sys.executable).parent / "skynb")


class NotHereError(Exception):
    """What was to be measured is not in this tree; the text says what came instead."""


class Home:
    """A home folder that `SKYNB_HOME` names while it is open. Without `serve`, no server is started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection = Connection()
        self.rsync_to = ("", "")  # key and address of a host, where there is one

    def launch(
        self, run: str, cluster: str | None = None, resources: Any = None, **more: Any
    ) -> LaunchAnswer:
        """A job on a new node, a local one by default, or on a live cluster."""
        task = {"run": run, "resources": resources or {"infra": "local"}, **more}
        request = LaunchRequest(task=task, cluster_name=cluster)
        return self.connection.call("POST", "/clusters", LaunchAnswer, body=request)

    def pieces(self, asked: LaunchAnswer) -> Iterator[tuple[float, str]]:
        """(when it came, by the monotonic clock; text) of a job's log, to its end."""
        for event in self.connection.stream(f"/clusters/{asked.cluster}/jobs/{asked.job}/logs"):
            if event.name == "log":
                yield time.perf_counter(), str(event.data["text"])

    def check(self) -> list[CheckInfo]:
        """The cheapest question that starts a server."""
        return self.connection.call("GET", "/check", list[CheckInfo])

    def server(self) -> psutil.Process:
        card = server.ensure()
        return psutil.Process(int(card["pid"]))

    def quiet(self, seconds: float = 90.0) -> None:
        """Wait until the server has nothing to do."""
        process, deadline = self.server(), time.monotonic() + seconds
        while process.cpu_percent(interval=1.0) > 5 and time.monotonic() < deadline:
            pass

    def processes(self, word: str) -> list[psutil.Process]:
        """Processes of this home whose command line has the word."""
        found = []
        for process in psutil.process_iter():
            try:
                line = " ".join(process.cmdline())
            except psutil.Error:
                continue
            if word in line and str(self.folder) in line:
                found.append(process)
        return found

    def down(self) -> None:
        """Take every cluster down and wait for it."""
        live = [
            c for c in self.connection.call("GET", "/clusters", list[ClusterInfo]) if c.status != "STOPPED"
        ]
        for cluster in live:
            self.connection.call("DELETE", f"/clusters/{cluster.name}", ClusterInfo)
        deadline = time.monotonic() + 60
        for cluster in live:
            path = f"/clusters/{cluster.name}"
            while not self.connection.call("GET", path, ClusterInfo).final and time.monotonic() < deadline:
                time.sleep(0.05)


@contextmanager
def home() -> Iterator[Home]:
    """A fresh home; at the end its clusters are down, its server is stopped and its files are gone."""
    before = {name: os.environ.get(name) for name in ("SKYNB_HOME", "SKYNB_CACHE_DIR", "JUPYTER_DATA_DIR")}
    with tempfile.TemporaryDirectory(prefix="skynb-bench-", ignore_cleanup_errors=True) as folder:
        os.environ["SKYNB_HOME"] = folder
        os.environ["SKYNB_CACHE_DIR"] = str(Path(folder) / "cache")
        os.environ["JUPYTER_DATA_DIR"] = str(Path(folder) / "jupyter")
        made = Home(Path(folder))
        try:
            yield made
        finally:
            if server.card():
                made.down()
                server.stop()
            made.connection.close()
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def timed(command: list[str], rounds: int) -> list[float]:
    """Milliseconds of a command, process start included; NotHereError if it fails."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        taken.append((time.perf_counter() - start) * 1e3)
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines()
            raise NotHereError(words[-1] if words else f"exit status {done.returncode}")
    return taken


def asked(code: str, rounds: int) -> list[list[float]]:
    """The numbers that a fresh Python prints, a list a number; NotHereError if it fails."""
    runs = []
    for _ in range(rounds):
        done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
        if done.returncode:
            raise NotHereError(done.stderr.strip().splitlines()[-1])
        runs.append([float(word) for word in done.stdout.split()])
    return [list(column) for column in zip(*runs, strict=True)]


def mib(process: psutil.Process) -> float:
    """Resident memory."""
    return process.memory_info().rss / 2**20


def stopped_clusters(folder: Path, number: int) -> None:
    """Write clusters that are off into the ledger of a home whose server does not run yet."""
    import msgspec

    from skynb.control.ledger import Ledger
    from skynb.control.records import Record
    from skynb_clusters.naming import node_id
    from skynb_clusters.records import ClusterSpec, ClusterState, NodeSpec, NodeState, Offer

    offer = Offer(cloud="local", instance_type="this-machine")
    spec = msgspec.json.encode(ClusterSpec(num_nodes=1, offers=(offer,), plan_hash="0" * 64))
    state = msgspec.json.encode(ClusterState(phase="ready"))
    slot = msgspec.json.encode(NodeSpec(rank=0))
    off: dict[str, Any] = {"owner": "bench", "status": "STOPPED", "target": "STOPPED"}
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    with ledger.transaction() as tx:
        for count in range(number):
            cluster, name = f"cluster-{count:012x}", f"bench-{count:04d}"
            tx.insert(
                Record(id=cluster, kind="cluster", name=name, parent=None, spec=spec, state=state, **off)
            )
            node = NodeState(offer=offer, token="t", machine=f"local-{count}", address="127.0.0.1")
            slots = {"spec": slot, "state": msgspec.json.encode(node)}
            tx.insert(Record(id=node_id(cluster, 0), kind="node", name="0", parent=cluster, **slots, **off))
    ledger.close()
