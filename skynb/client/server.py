"""Finding the server of this home, and starting it on first use."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from skynb.errors import ServerError

START_SECONDS = 60.0
AGAIN_SECONDS = 0.5
STOP_SECONDS = 20.0


def home() -> Path:
    """Folder of the ledger, logs and secrets: $SKYNB_HOME or ~/.skynb."""
    return Path(os.environ.get("SKYNB_HOME") or "~/.skynb").expanduser()


def card() -> dict[str, Any] | None:
    """What the running server wrote about itself (url, token, pid, version); None if there is none."""
    try:
        found: dict[str, Any] = json.loads((home() / "server.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if _alive(int(found["pid"])) else None


def ensure() -> dict[str, Any]:
    """The running server's card, after starting it if need be. ServerError if it does not come up."""
    return card() or start()


def start() -> dict[str, Any]:
    """Start the daemon in the background and wait until it serves this home; any number may try at once."""
    folder = home()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    daemon = _spawn(folder)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = card()
        if found is not None:
            return found
        if daemon.poll() == 0:  # another one has this home: it is about to serve it, or has yet to end
            time.sleep(AGAIN_SECONDS)
            daemon = _spawn(folder)
        elif daemon.poll() is not None:
            break
        time.sleep(0.02)
    raise ServerError(
        "the skynb server did not start", why=_last_words(folder), mend=f"See {folder / 'server.log'}"
    )


def _spawn(folder: Path) -> subprocess.Popen[bytes]:
    handle = os.open(folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "ab") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "skynb_jupyter", "--home", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    threading.Thread(target=daemon.wait, daemon=True).start()  # no zombie, should it end before us
    return daemon


def stop() -> bool:
    """Stop the daemon; machines and jobs live on. False if none ran. ServerError if it does not end."""
    found = card()
    if found is None:
        return False
    pid = int(found["pid"])
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if not _alive(pid):
            return True
        time.sleep(0.02)
    raise ServerError(f"the server, process {pid}, does not end", mend=f"kill -9 {pid} loses nothing")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a zombie has ended, whoever its parent is
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return not Path("/proc/self").exists()


def _last_words(folder: Path) -> str | None:
    lines = (folder / "server.log").read_text(errors="replace").splitlines()
    return lines[-1].strip() if lines else None
