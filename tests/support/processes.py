"""Programs in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys


def printed_by_any_hash(script: str, **environment: str) -> set[bytes]:
    """What a script prints under several seeds of hashes: one answer if it does not depend on them."""
    return {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            env=os.environ | environment | {"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("0", "1", "4242")
    }
