"""Starting, finding and stopping the daemon of a folder: one at a time, however many ask."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict

from skynb_agent import config, files, processes
from skynb_agent.protocol import Decoder, encode, request

SOCKET = "agent.sock"
START_WITHIN_S = 10.0
_PROGRAM = str(Path(sys.argv[0]).absolute())  # taken before anybody changes folder
_PASSED_ON = ("PATH", "LANG", "TZ", "LC_ALL", "TMPDIR")


def start(root: Path) -> dict[str, Any]:
    """Make sure that a daemon serves `root` and return its facts; TimeoutError if it stays silent."""
    os.chdir(root)  # the socket is reached by a relative path, whose length is bounded
    with Path("start.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        facts = ask("hello")
        if facts is not None:
            return _shown(facts, started=False)
        config.load(Path.cwd())
        child = _spawn(root)
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline:
            facts = ask("hello")
            if facts is not None:
                return _shown(facts, started=True)
            if child.poll() is not None:
                raise RuntimeError(
                    f"the agent ended with code {child.returncode} at once; see {root}/agent.log"
                )
            time.sleep(0.02)
    raise TimeoutError(f"the agent did not answer within {START_WITHIN_S:g} s; see {root}/agent.log")


def stop(root: Path, *, kill: bool) -> dict[str, Any] | None:
    """End the daemon of `root`, with its work if `kill`; None if there was none."""
    os.chdir(root)
    facts = ask("shutdown", {"kill": kill}, timeout_s=60.0)
    if facts is None:
        return None
    deadline = time.monotonic() + START_WITHIN_S
    while _alive(int(facts["pid"])) and time.monotonic() < deadline:
        time.sleep(0.02)
    return facts


def ask(method: str, params: dict[str, Any] | None = None, timeout_s: float = 5.0) -> Dict[str, Any] | None:
    """One question to the daemon of the current folder; None if nobody answers."""
    decoder = Decoder()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        line.settimeout(timeout_s)
        try:
            line.connect(SOCKET)
            line.sendall(encode(request(1, method, params)))
            while True:
                chunk = line.recv(65536)
                for frame in decoder.feed(chunk):
                    return dict(frame.body.get("result") or {})
                if not chunk:
                    return None
        except OSError:
            return None


def serve(root: Path) -> int:
    """Be the daemon of `root`; called in the process that `start` made. 1 if another one is there."""
    os.chdir(root)
    os.umask(0o022)
    lock = Path("daemon.lock").open("a")  # noqa: SIM115 - held for as long as this process lives
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 1
    import asyncio  # as the agent itself, only for the daemon: `start` and `rpc` run once a node and more

    from skynb_agent.agent import Agent

    settings = config.load(Path.cwd())
    files.private_folder(settings.root / "jobs")
    asyncio.run(Agent(settings).run())
    return 0


def _spawn(root: Path) -> subprocess.Popen[bytes]:
    env = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
    env.update(config.load(root).env)  # the marks by which the infra knows what runs on this node
    with Path("agent.log").open("ab") as log:
        os.fchmod(log.fileno(), 0o600)
        return subprocess.Popen(
            [sys.executable, "-E", "-s", _PROGRAM, "serve", "--root", str(root)],
            cwd=root,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _alive(pid: int) -> bool:
    row = processes.look(pid)
    return row is not None and not row.zombie


def _shown(facts: dict[str, Any], *, started: bool) -> dict[str, Any]:
    names = ("pid", "head_port", "version", "protocol", "node_id", "generation")
    return {**{name: facts.get(name) for name in names}, "started": started}
