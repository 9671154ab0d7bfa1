"""This machine as an offer: what infra `local` runs on, for nothing."""

from __future__ import annotations

import os
from collections import Counter
from datetime import datetime, timezone

from skynb.planning.asks import LOCAL
from skynb_catalog import Accelerator, Offer, by_driver_name

INSTANCE_TYPE = "this-machine"
_TIMEOUT_SECONDS = 5
_ARCHES = {"amd64": "x86_64", "aarch64": "arm64"}


def this_machine() -> Offer:
    """The machine this runs on. GPUs are those that `nvidia-smi` names and the vocabulary knows, if any."""
    import platform  # this and the imports below are heavy, and most plans never look at this machine

    found = _gpus()
    accelerator, count = found[0] if found else (None, None)
    machine = platform.machine().lower()
    return Offer(
        cloud=LOCAL,
        region=None,
        zone=None,
        instance_type=INSTANCE_TYPE,
        vcpus=float(os.cpu_count() or 1),
        memory_gib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3,
        accelerator=accelerator.name if accelerator else None,
        accelerator_count=float(count) if count else None,
        accelerator_memory_gib=accelerator.memory_gib if accelerator else None,
        arch=_ARCHES.get(machine, machine),
        hourly_micro=0,
        spot_hourly_micro=None,
        as_of=datetime.now(timezone.utc).date().isoformat(),
        spot_as_of=None,
        source="this machine",
        confidence="high",
    )


def _gpus() -> list[tuple[Accelerator, int]]:
    """Known GPUs with their counts, most frequent first: an offer has one kind of accelerator."""
    found = (_gpu(line) for line in _driver_lines())
    return Counter(gpu for gpu in found if gpu is not None).most_common()


def _gpu(line: str) -> Accelerator | None:
    """One line of the driver's list: `NVIDIA L4, 23034 MiB`."""
    name, _, memory = line.rpartition(",")
    digits = "".join(character for character in memory if character.isdigit())
    return by_driver_name(name, int(digits) / 1024) if name and digits else None


def _driver_lines() -> list[str]:
    from shutil import which

    program = which("nvidia-smi")
    if program is None:
        return []
    import subprocess

    command = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []  # a driver that hangs or is broken has no GPU to offer
    return done.stdout.splitlines() if done.returncode == 0 else []
