"""Bring the agent up on a reachable node: one round trip, no package index."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from skynb.errors import ProviderError
from skynb_agent.protocol import build_zipapp
from skynb_clusters.contract import Transport

START_SECONDS = 30.0

# Runs on the node, as it stands here: reads a list of files from standard input, writes each whole, becomes
# the agent's `start`, in the environment by which the infra knows what runs on its machine.
_RECEIVE = """
import json, os, sys
stream = sys.stdin.buffer
manifest = json.loads(stream.readline())
root = os.path.expanduser(manifest["root"])
os.makedirs(root, 0o700, exist_ok=True)
for entry in manifest["files"]:
    path = os.path.join(root, entry["name"])
    with os.fdopen(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(stream.read(entry["size"]))
    os.replace(path + ".new", path)
program = [sys.executable, "-E", "-s", "-S", os.path.join(root, "agent.pyz"), "start", "--root", root]
os.execve(sys.executable, program, {**os.environ, **manifest["env"]})
"""


def start_agent(transport: Transport, config: Mapping[str, Any]) -> dict[str, Any]:
    """Put agent and config on the node and start it; the answer has `head_port` and `version`.

    Blocks; called from a worker thread. An agent that runs already stays and answers. Raises ProviderError.
    """
    files = {"agent.pyz": agent_zipapp(), "config.json": json.dumps(config).encode()}
    manifest = {
        "root": transport.root,
        "env": config.get("env") or {},
        "files": [{"name": name, "size": len(data)} for name, data in files.items()],
    }
    process = transport.exec([*transport.python, "-E", "-s", "-S", "-c", _RECEIVE])
    try:
        for data in (json.dumps(manifest).encode() + b"\n", *files.values()):
            process.stdin.write(data)
        process.stdin.close()
        output = process.stdout.read()
        status = process.wait(START_SECONDS)
        if status != 0:
            raise ProviderError(
                "the agent did not start", why=process.stderr_tail().strip() or f"exit status {status}"
            )
        facts: dict[str, Any] = json.loads(output.splitlines()[-1])
    except (OSError, ValueError, IndexError, TimeoutError) as error:
        raise ProviderError(
            "the agent did not start", why=process.stderr_tail().strip() or str(error)
        ) from error
    else:
        return facts
    finally:
        process.close()


def put(transport: Transport, path: str, data: bytes) -> None:
    """A file below the node's home, in one step; blocks. ProviderError."""
    argv = [*transport.python, f"{transport.root}/agent.pyz", "recv", path, "--root", transport.root]
    process = transport.exec(argv)
    try:
        view = memoryview(data)
        while view:
            view = view[process.stdin.write(view) :]
        process.stdin.close()
        process.stdout.read()
        if process.wait(START_SECONDS) != 0:
            raise ProviderError("the node did not take a file", why=process.stderr_tail().strip() or path)
    except (OSError, TimeoutError) as error:
        why = process.stderr_tail().strip() or str(error)
        raise ProviderError("the node did not take a file", why=why) from error
    finally:
        process.close()


@cache
def agent_zipapp() -> bytes:
    """The agent as one file, the same bytes for the same sources."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.pyz"
        build_zipapp(path)
        return path.read_bytes()
