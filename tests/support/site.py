"""A server in a home of its own, for tests that need the real thing, and the means to kill parts of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from skynb import kernels
from skynb.client import server
from skynb.client.http import Connection, SseEvent
from skynb.spec import Task
from skynb.wire import CancelAnswer, ClusterInfo, ExecRequest, JobInfo, LaunchAnswer, LaunchRequest
from skynb_clusters.providers import processes
from tests.support.databases import POSTGRES, postgres


class Site:
    """One home folder: its server, its clusters, its processes. Only one is active in a process at a time."""

    def __init__(self, home: Path) -> None:
        self.home = home
        os.environ["SKYNB_HOME"] = str(home)
        self.http = Connection()

    # What a person does

    def launch(self, name: str, **task: Any) -> LaunchAnswer:
        config, secrets = Task(**({"resources": {"infra": "local"}} | task)).to_wire()
        request = LaunchRequest(task=config, secrets=secrets, cluster_name=name)
        return self.http.call("POST", "/clusters", LaunchAnswer, body=request)

    def exec(self, name: str, **task: Any) -> int:
        config, secrets = Task(**task).to_wire()
        request = ExecRequest(task=config, secrets=secrets)
        answer = self.http.call("POST", f"/clusters/{name}/jobs", LaunchAnswer, body=request)
        assert answer.job is not None
        return answer.job

    def post(self, path: str, answer: Any = ClusterInfo, body: msgspec.Struct | None = None) -> Any:
        return self.http.call("POST", path, answer, body=body)

    def cancel(self, name: str, body: msgspec.Struct) -> CancelAnswer:
        return self.http.call("POST", f"/clusters/{name}/cancel", CancelAnswer, body=body)

    def down(self, name: str) -> ClusterInfo:
        return self.http.call("DELETE", f"/clusters/{name}", ClusterInfo)

    def cluster(self, name: str) -> ClusterInfo:
        return self.http.call("GET", f"/clusters/{name}", ClusterInfo)

    def clusters(self) -> list[ClusterInfo]:
        return self.http.call("GET", "/clusters", list[ClusterInfo])

    def jobs(self, name: str) -> list[JobInfo]:
        return self.http.call("GET", f"/clusters/{name}/jobs", list[JobInfo])

    def job(self, name: str, number: int) -> JobInfo:
        return self.http.call("GET", f"/clusters/{name}/jobs/{number}", JobInfo)

    def log(self, name: str, number: int, rank: int | None = None, follow: bool = True) -> str:
        query: dict[str, str | list[str]] = {} if rank is None else {"rank": str(rank)}
        if not follow:
            query["follow"] = "0"
        return "".join(
            event.data["text"] for event in self.stream(name, number, query) if event.name == "log"
        )

    def stream(self, name: str, number: int, query: dict[str, str | list[str]]) -> Iterator[SseEvent]:
        return self.http.stream(f"/clusters/{name}/jobs/{number}/logs", query)

    def events(self, name: str) -> list[str]:
        return [event.name for event in self.http.stream(f"/clusters/{name}/events", {"follow": "0"})]

    # What fate does

    def server_pid(self) -> int:
        card = server.card()
        assert card is not None
        return int(card["pid"])

    def kill_server(self) -> None:
        card = server.card()
        if card is not None:
            os.kill(int(card["pid"]), signal.SIGKILL)
            until(lambda: server.card() is None)

    def machines(self) -> dict[int, Path]:
        """Folders of this home's machines, by rank."""
        found = {}
        for place in (self.home / "local").glob("local-*"):
            try:
                card = msgspec.json.decode((place / "machine.json").read_bytes())
            except FileNotFoundError:
                continue
            found[int(card["tags"]["skynb-rank"])] = place
        return found

    def power_off(self, rank: int) -> bool:
        """SIGKILL a machine with all that runs on it; False if there is none yet."""
        place = self.machines().get(rank)
        if place is None:
            return False
        card = msgspec.json.decode((place / "machine.json").read_bytes())
        off = bool(card["init_pid"]) and _kill(int(card["init_pid"]))
        processes.end_marked(f"SKYNB_LOCAL_MACHINE={place.name}", grace_s=0)
        return off

    def kill_agent(self, rank: int) -> bool:
        """SIGKILL the agent of a node; False if there is none yet."""
        return self._kill_by(rank, lambda command: "agent.pyz" in command and " start " in command)

    def kill_rank(self, rank: int, text: str) -> bool:
        """SIGKILL a process of a job whose command line holds `text`."""
        return self._kill_by(rank, lambda command: text in command)

    def processes(self) -> set[int]:
        """Everything that runs on this home's machines, and its server."""
        found: set[int] = set()
        for place in (self.home / "local").glob("*local-*"):
            machine = place.name.removeprefix(".ended-")
            found |= processes.marked(f"SKYNB_LOCAL_MACHINE={machine}")
        return found

    def anything_of(self) -> list[str]:
        """Command lines of every process that mentions this home, by name or in its environment."""
        own = {os.getpid(), os.getppid()}
        command = ["ps", "axeww", "-o", "pid=,command="]
        plain = {"PATH": os.environ["PATH"]}  # ps must not show itself
        lines = subprocess.run(command, capture_output=True, text=True, check=True, env=plain)
        needle = f"{self.home}/"
        return [
            line for line in lines.stdout.splitlines() if needle in line and int(line.split()[0]) not in own
        ]

    def _kill_by(self, rank: int, wanted: Callable[[str], bool]) -> bool:
        place = self.machines().get(rank)
        if place is None:
            return False
        killed = False
        for pid in processes.marked(f"SKYNB_LOCAL_MACHINE={place.name}"):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if wanted(f"{command} "):
                killed |= _kill(pid)
        return killed

    def close(self) -> None:
        """Take everything down and show that nothing is left, neither process nor file of a machine."""
        for cluster in self.clusters():
            if cluster.target != "TERMINATED":
                self.down(cluster.name)
        until(lambda: not self.clusters(), 60)
        server.stop()
        assert list((self.home / "local").glob("*local-*")) == []
        until(lambda: self.anything_of() == [], 10)


@contextmanager
def site() -> Iterator[Site]:
    """A fresh home; on leaving, everything is taken down and the home is gone.

    Its ledger is on PostgreSQL where SKYNB_TEST_DATABASE_URL names one.
    """
    before = os.environ.get("SKYNB_HOME")
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sky"))
        if POSTGRES:
            os.environ["SKYNB_DATABASE_URL"] = stack.enter_context(postgres())
        made = Site(Path(folder).resolve())
        try:
            yield made
            kernels.close()
            made.close()
        finally:
            made.http.close()
            made.kill_server()
            for place in (made.home / "local").glob("*local-*"):
                processes.end_marked(f"SKYNB_LOCAL_MACHINE={place.name.removeprefix('.ended-')}", 0)
            if before is not None:
                os.environ["SKYNB_HOME"] = before


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for something to become true; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.03)
    return value


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


PYTHON = sys.executable
