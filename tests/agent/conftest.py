"""Real agents from the zipapp, on loopback, each in a folder of its own; and a blocking client for tests."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from skynb_agent import processes
from skynb_agent.protocol import FINAL_STATES, Decoder, build_zipapp, encode, request

PYTHON38 = Path.home() / ".pyenv/versions/3.8.18/bin/python3.8"


class RefusedError(Exception):
    """An error answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Authority:
    """A certificate authority for one cluster."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self._sign("ca", self.key.public_key(), is_ca=True)

    def _sign(self, name: str, public: Any, *, is_ca: bool) -> x509.Certificate:
        now = dt.datetime.now(dt.timezone.utc)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer = subject if is_ca else self.cert.subject
        builder = x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(days=1))
        builder = builder.not_valid_after(now + dt.timedelta(days=30))
        builder = builder.add_extension(x509.BasicConstraints(is_ca, None), critical=True)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, name: str) -> dict[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = serialization.Encoding.PEM
        private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        cert = self._sign(name, key.public_key(), is_ca=False)
        return {
            "ca": self.cert.public_bytes(pem).decode(),
            "cert": cert.public_bytes(pem).decode(),
            "key": private.decode(),
        }


class Line:
    """A blocking client of one agent's socket."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self.decoder = Decoder()
        self.frames: list[Any] = []
        self.last = 0

    def send(self, method: str, **params: Any) -> int:
        self.last += 1
        self.socket.sendall(encode(request(self.last, method, params)))
        return self.last

    def call(self, method: str, **params: Any) -> Any:
        number = self.send(method, **params)
        body = self.wait(lambda frame: frame.body.get("id") == number).body
        if "error" in body:
            raise RefusedError(**body["error"])
        return body["result"]

    def wait(self, wanted: Any, timeout: float = 20.0) -> Any:
        """The first frame, seen or to come, for which `wanted` is true; it is taken out."""
        deadline = time.monotonic() + timeout
        while True:
            for index, frame in enumerate(self.frames):
                if wanted(frame):
                    return self.frames.pop(index)
            assert time.monotonic() < deadline, f"no such frame; had {[f.body for f in self.frames][-5:]}"
            chunk = self.socket.recv(1 << 18)
            assert chunk, "the agent closed the connection"
            self.frames += self.decoder.feed(chunk)

    def close(self) -> None:
        self.socket.close()


class Node:
    """One agent and its folder."""

    def __init__(self, cluster: Cluster, rank: int, **overrides: Any) -> None:
        self.cluster, self.rank = cluster, rank
        self.root = cluster.folder / f"n{rank}{overrides.pop('suffix', '')}"
        self.home = self.root / "home"
        self.home.mkdir(parents=True)
        self.node_id = overrides.get("node_id", f"{cluster.id}-{rank}")
        self.config: dict[str, Any] = {
            "protocol": 1,
            "cluster": "c",
            "cluster_id": cluster.id,
            "node_id": self.node_id,
            "rank": rank,
            "num_nodes": cluster.size,
            "generation": 1,
            "role": "worker" if rank else "head",
            "bind": "127.0.0.1",
            "head": None,
            "node_ips": [f"127.0.0.{1 + n}" for n in range(cluster.size)],
            "tls": cluster.authority.issue(self.node_id),
            "slots": {"cpus": 8.0, "gpus": ["0", "1"]},
            "env": {"FROM_CONFIG": "yes"},
            "home": str(self.home),
            "end": {},
            "lease": {"presence_s": 600},
            **overrides,
        }
        self.write()
        self.python = os.environ.get("SKYNB_TEST_AGENT_PYTHON", sys.executable)  # to try the suite on another
        self.pid = 0
        self._lines: list[Line] = []

    def write(self) -> None:
        (self.root / "config.json").write_text(json.dumps(self.config))
        (self.root / "config.json").chmod(0o600)

    def verb(self, *words: str, stdin: bytes = b"", check: bool = True) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(self._argv(*words), input=stdin, capture_output=True, check=check, timeout=60)

    def begin(self, *words: str) -> subprocess.Popen[bytes]:
        """A verb whose standard streams stay open."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self._argv(*words), stdin=pipe, stdout=pipe, stderr=pipe)

    def _argv(self, verb: str, *words: str) -> list[str]:
        return [self.python, str(self.cluster.pyz), verb, "--root", str(self.root), *words]

    def start(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.verb("start").stdout)
        self.pid = facts["pid"]
        self.cluster.pids.add(self.pid)
        return facts

    def kill9(self) -> None:
        """Kill the agent, as the kernel would when memory is short."""
        os.kill(self.pid, signal.SIGKILL)
        until(lambda: not processes.is_same(self.pid, None, {}), "the agent is still there")

    def line(self) -> Line:
        made = Line(self.root / "agent.sock")
        self._lines.append(made)
        return made

    def call(self, method: str, **params: Any) -> Any:
        with closing(Line(self.root / "agent.sock")) as line:
            return line.call(method, **params)

    def submit(self, number: int = 1, run: str | None = "true", **more: Any) -> dict[str, Any]:
        job = {"id": number, "name": f"j{number}", "num_nodes": 1, "gpus_per_node": 0, "cpus_per_node": 1}
        job.update(priority=0, setup=None, run=run, env={}, secret_env={}, task_id=f"t{number}")
        job.update(workdir=False, user="me")
        job.update(more)
        return dict(self.call("submit", job=job))

    def job(self, number: int = 1) -> dict[str, Any]:
        return next(job for job in self.call("jobs")["jobs"] if job["id"] == number)

    def wait_job(self, *states: str, number: int = 1, timeout: float = 20.0) -> dict[str, Any]:
        """The job once it is in one of `states` (none = any final one)."""
        wanted = states or tuple(FINAL_STATES)
        until(lambda: self.job(number)["state"] in wanted, lambda: f"job is {self.job(number)}", timeout)
        return self.job(number)

    def log(self, number: int = 1, rank: int = 0) -> str:
        return (self.root / "jobs" / str(number) / f"rank-{rank}" / "log").read_text()

    def marked(self) -> set[int]:
        return processes.carrying({"SKYNB_NODE_ID": self.node_id}, list(processes.table()))

    def destroy(self) -> None:
        for line in self._lines:
            line.close()
        try:
            self.call("shutdown", kill=True)
        except (OSError, AssertionError):  # nobody serves; what it left must be ended all the same
            self.verb("start", check=False)
            self.verb("stop", "--kill", check=False)


class Cluster:
    """Some agents that belong together."""

    def __init__(self, pyz: Path, authority: Authority, size: int) -> None:
        self.pyz, self.authority, self.size = pyz, authority, size
        self.id = f"t{uuid.uuid4().hex[:10]}"
        self.folder = Path(tempfile.mkdtemp(prefix="ska"))
        self.pids: set[int] = set()
        self.nodes: list[Node] = []

    def add(self, rank: int, **overrides: Any) -> Node:
        node = Node(self, rank, **overrides)
        self.nodes.append(node)
        return node

    def start(self, **overrides: Any) -> list[Node]:
        """Start the head, then the workers, and wait until all have joined."""
        port = self.add(0, **overrides).start()["head_port"]
        for rank in range(1, self.size):
            self.add(rank, head={"host": "127.0.0.1", "port": port}, **overrides).start()
        self.wait_joined()
        return self.nodes

    def wait_joined(self) -> None:
        wanted = list(range(1, self.size))
        until(lambda: self.nodes[0].call("hello")["workers"] == wanted, "workers did not join")

    def _living(self) -> set[int]:
        return {pid for pid in self.pids if (row := processes.look(pid)) is not None and not row.zombie}

    def destroy(self) -> None:
        for node in self.nodes:
            node.destroy()
        left = {pid for node in self.nodes for pid in node.marked()}
        deadline = time.monotonic() + 5
        while (agents := self._living()) and time.monotonic() < deadline:
            time.sleep(0.01)
        processes.send(left, signal.SIGKILL)
        logs = {log.parent.name: log.read_text()[-3000:] for log in self.folder.glob("*/agent.log")}
        shutil.rmtree(self.folder)
        assert not left, f"processes of jobs are left: {left} {logs}"
        assert not agents, f"agents are left: {agents} {logs}"


def until(condition: Any, complaint: Any, timeout: float = 20.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, complaint() if callable(complaint) else complaint
        time.sleep(0.02)


@pytest.fixture(scope="session")
def pyz(tmp_path_factory):
    path = tmp_path_factory.mktemp("agent") / "agent.pyz"
    build_zipapp(path)
    return path


@pytest.fixture(scope="session")
def authority():
    return Authority()


@pytest.fixture
def make_cluster(pyz, authority):
    made = []

    def make(size=1):
        made.append(Cluster(pyz, authority, size))
        return made[-1]

    yield make
    for cluster in made:
        cluster.destroy()


@pytest.fixture
def solo(make_cluster):
    """One running head."""
    return make_cluster().start()[0]


@pytest.fixture
def eventually():
    return until


@pytest.fixture
def refused():
    return RefusedError


@pytest.fixture
def python38():
    if not PYTHON38.exists():
        pytest.skip(f"{PYTHON38} is not installed, so the oldest Python cannot be tried")
    return str(PYTHON38)


@pytest.fixture
def foreign_authority():
    return Authority()
