"""What setup this node has had last, so that the same one need not run again.

The server allows it by a `setup_key`, which names the files that the job was sent. A setup is the same if its
text, that key, the job's variables and secrets, its place in the gang and the boot of this machine are; and
nothing that it started may still run, as later jobs would miss it.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from skynb_agent import files

if TYPE_CHECKING:
    from pathlib import Path

SKIPPED = b"skynb: setup is as it was on this node, skipped (--fresh-setup runs it)\n"


class Setups:
    """The mark of the last setup that ended well, in R/setup.json."""

    def __init__(self, root: Path, boot: str | None) -> None:
        self._path = root / "setup.json"
        self._boot = boot

    def digest(self, job: dict[str, Any], rank: int, ips: list[str]) -> str | None:
        """What tells this setup from others; None where it must run in any case."""
        if job.get("setup") is None or job.get("setup_key") is None or self._boot is None:
            return None
        parts = [job[name] for name in ("setup", "setup_key")]
        parts += [job.get(name) or {} for name in ("env", "secret_env")]
        parts += [bool(job.get("workdir")), rank, ips, self._boot]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def holds(self, digest: str | None) -> bool:
        """Whether that setup was the last here, and ended well."""
        return digest is not None and (files.read_json(self._path) or {}).get("digest") == digest

    def begin(self) -> None:
        """A setup is about to change this node: what was before it holds no longer."""
        files.remove(self._path)

    def done(self, digest: str | None) -> None:
        """It ended well, and left nothing running."""
        if digest is not None:
            files.write_json(self._path, {"digest": digest})
