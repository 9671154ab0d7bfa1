"""The daemon: one server a home folder, on loopback, found through `server.json` (0600).

It holds a lock on its home for as long as it lives, so a second one leaves at once; killed at any moment, the
next one goes on from the ledger.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import secrets
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO


def main(argv: list[str] | None = None) -> None:
    """Run until stopped. Exits 0 at once when another daemon already serves this home."""
    options = _options(argv)
    os.umask(0o077)
    home = Path(options.home).expanduser().resolve()
    home.mkdir(parents=True, exist_ok=True)
    lock = _lock(home)
    if lock is None:
        print(f"a skynb server already runs for {home}", file=sys.stderr)  # noqa: T201 - a console script
        return
    with suppress(FileNotFoundError):
        (home / "server.json").unlink()  # of one that was killed
    os.environ["JUPYTER_RUNTIME_DIR"] = str(home / "runtime")
    # jsonschema would make grammars of URIs and durations, the first alone in a second; it does without.
    for grammar in ("rfc3987_syntax", "isoduration"):
        sys.modules.setdefault(grammar, None)  # type: ignore[arg-type]
    from skynb_jupyter.app import serve

    serve(home, port=options.port or _free_port(), token=secrets.token_hex(24))
    lock.close()


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m skynb_jupyter", description="The skynb server.")
    default = os.environ.get("SKYNB_HOME") or "~/.skynb"
    parser.add_argument("--home", default=default, help="folder of ledger, logs and secrets")
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0 takes a free one")
    return parser.parse_args(argv)


def _lock(home: Path) -> IO[bytes] | None:
    file = (home / "server.lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
