"""A real server and real local nodes. Whatever a test leaves, the teardown ends and names."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest

from skynb.client import server
from skynb.client.http import Connection
from skynb.spec import Task
from skynb.wire import ClusterInfo, DaskInfo, LaunchAnswer, LaunchRequest


class House:
    """A server's home and what lives in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.connection = Connection()

    def launch(self, name: str, nodes: int = 1) -> None:
        task, _ = Task.from_yaml_config({"num_nodes": nodes, "resources": {"infra": "local"}}).to_wire()
        request = LaunchRequest(task=task, cluster_name=name)
        self.connection.call("POST", "/clusters", LaunchAnswer, body=request)
        self.until(lambda: self.cluster(name).status == "UP")

    def cluster(self, name: str) -> ClusterInfo:
        return self.connection.call("GET", f"/clusters/{name}", ClusterInfo)

    def clusters(self) -> list[ClusterInfo]:
        return self.connection.call("GET", "/clusters", list[ClusterInfo])

    def dask(self, name: str) -> DaskInfo:
        return self.connection.call("GET", f"/clusters/{name}/dask", DaskInfo)

    def down(self, name: str) -> None:
        self.connection.call("DELETE", f"/clusters/{name}", ClusterInfo)
        self.until(lambda: self.cluster(name).final)

    def processes(self, word: str = "") -> list[psutil.Process]:
        """Processes of this home's nodes whose command line has the word; agents clear their environment."""
        found, nodes = [], str(self.folder / "local")
        for process in psutil.process_iter():
            try:
                line = process.cmdline()
                seen = [*line, *process.environ().values()]
            except psutil.Error:
                continue
            if word in " ".join(line) and any(nodes in text for text in seen):
                found.append(process)
        return found

    def until(self, holds, seconds: float = 30.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, (self.folder / "server.log").read_text()[-4000:]
            time.sleep(0.05)

    def end(self) -> None:
        self.connection.close()
        server.stop()
        left = self.processes()
        for process in left:
            process.kill()
        assert not left, left


@pytest.fixture(scope="module")
def server_house(tmp_path_factory):
    """One server for the tests of a file; after it, the home of this process is what it was."""
    folder = tmp_path_factory.mktemp("house")
    before = os.environ["SKYNB_HOME"]
    os.environ["SKYNB_HOME"] = str(folder)
    made = House(folder)
    try:
        server.start()
        yield made
        made.end()
    finally:
        os.environ["SKYNB_HOME"] = before


@pytest.fixture
def house(server_house):
    """The house, which every test leaves without clusters."""
    yield server_house
    for cluster in server_house.clusters():
        server_house.down(cluster.name)
