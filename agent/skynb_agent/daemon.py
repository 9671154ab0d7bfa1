"""Starting, finding and stopping the daemon of a folder: one at a time, however many ask."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Dict, Iterable, Optional

from skynb_agent import config, files, processes
from skynb_agent.protocol import Decoder, encode, request

SOCKET = "agent.sock"
START_WITHIN_S = 10.0
_USUAL_FILES = 256  # at most so many are open, where that cannot be told
_PASSED_ON = ("PATH", "LANG", "TZ", "LC_ALL", "TMPDIR")


def start(root: Path) -> dict[str, Any]:
    """Make sure that a daemon serves `root` and return its facts; TimeoutError if it stays silent.

    A new daemon is a fork of this process: nothing is loaded twice, and the infra finds it by the marks in
    the environment that this process was started with.
    """
    os.chdir(root)  # the socket is reached by a relative path, whose length is bounded
    with Path("start.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        facts = ask("hello")
        if facts is not None:
            return _shown(facts, started=False)
        child = _fork(root, config.load(root))
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline:
            facts = ask("hello")
            if facts is not None:
                return _shown(facts, started=True)
            code = _ended(child)
            if code is not None:
                raise RuntimeError(f"the agent ended with code {code} at once; see {root}/agent.log")
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


def _fork(root: Path, settings: config.Config) -> int:
    """The number of a new process that becomes the daemon of `root`."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        _detach(settings)
        code = _serve(root)
    except BaseException:  # noqa: BLE001 - whatever it was, agent.log must say it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what waits above in the stack is the parent's


def _detach(settings: config.Config) -> None:
    """Keep nothing of whoever asked: session, files, or variables beyond a few and the infra's own."""
    os.setsid()
    os.umask(0o022)
    log = os.open("agent.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, source in enumerate((nothing, log, log)):
        os.dup2(source, number)
    for number in _open_files():
        if number > 2:  # the three standard streams stay
            with suppress(OSError):  # the one by which they were listed
                os.close(number)
    kept = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
    os.environ.clear()
    os.environ.update({**kept, **settings.env})


def _open_files() -> Iterable[int]:
    try:
        return map(int, os.listdir("/dev/fd"))  # noqa: PTH208 - numbers, not paths
    except OSError:
        return range(_USUAL_FILES)


def _serve(root: Path) -> int:
    """Be the daemon of `root` to its end. 1 if another one is there."""
    lock = Path("daemon.lock").open("a")  # noqa: SIM115 - held for as long as this process lives
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return 1
    import asyncio  # as the agent itself, only for the daemon: `start` and `rpc` run once a node and more

    from skynb_agent.agent import Agent

    settings = config.load(root)
    files.private_folder(settings.root / "jobs")
    asyncio.run(Agent(settings).run())
    return 0


def _ended(child: int) -> Optional[int]:
    """The exit code of a child, None while it runs."""
    pid, status = os.waitpid(child, os.WNOHANG)
    if not pid:
        return None
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)


def _alive(pid: int) -> bool:
    row = processes.look(pid)
    return row is not None and not row.zombie


def _shown(facts: dict[str, Any], *, started: bool) -> dict[str, Any]:
    names = ("pid", "head_port", "version", "protocol", "node_id", "generation")
    return {**{name: facts.get(name) for name in names}, "started": started}
