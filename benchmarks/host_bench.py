"""What is measured on real hosts: first lines over SSH, a log's stream, files against plain rsync."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from measures import Row, first_line
from scratch import Home, home

ROOT = Path(__file__).resolve().parents[1]
STREAM_MB = 256
BULK = f"yes 'a line of a log, about as long as the lines of logs are' | head -c {STREAM_MB}000000"
BIG_MIB, SMALL_FILES, SMALL_KIB = 300, 2000, 200
ON_POOL = {"infra": "ssh/bench"}


def hosts() -> Iterator[Row]:
    """From a request to the first line on a reachable host, and how fast its log comes."""
    with pool(4) as here:
        if isinstance(here, str):
            yield Row("host -> first log line, agent absent", "3000", note=here)
            return
        absent = []
        for number in range(3):
            name = f"bench-{number}"
            absent.append(first_line(here, lambda name=name: here.launch("echo here", name, ON_POOL)))
        present = [first_line(here, lambda: here.launch("echo here", "bench-0", ON_POOL)) for _ in range(10)]
        yield Row("host -> first log line, agent absent", "3000", absent)
        yield Row("  agent present", "500", present)
        rates = []
        for _ in range(3):
            size, begun, ended = 0, 0.0, 0.0
            for when, text in here.pieces(here.launch(BULK, "bench-0", ON_POOL)):
                begun, ended, size = begun or when, when, size + len(text)
            rates.append(size / 1e6 / (ended - begun))
        yield Row("log stream from a host", "50", rates, "MB/s", note="more is better")


def sync() -> Iterator[Row]:
    """A workdir of 1 GiB to a host, next to plain rsync over ssh to the same one, in turns."""
    with pool(1) as here:
        if isinstance(here, str):
            yield Row("workdir of 1 GiB to a host", "", note=here)
            return
        work = here.folder / "work"
        _fill(work)
        list(here.pieces(here.launch("true", "bench", ON_POOL)))
        pairs: dict[str, tuple[list[float], list[float]]] = {}
        for turn in range(4):
            for what in ("first", "unchanged", "1 MiB changed"):
                _change(work, what, turn)
                ours, theirs = pairs.setdefault(what, ([], []))
                sides = [(ours, _sent), (theirs, partial(_rsync, to=f"by-rsync-{turn}"))]
                for taken, send in sides if turn % 2 else reversed(sides):  # neither is always the first
                    taken.append(send(here, work))
        for what, (ours, theirs) in pairs.items():
            ratio = median(our / their for our, their in zip(ours, theirs, strict=True))
            yield Row(f"workdir of 1 GiB, {what}", "", ours, note=f"{ratio:.2f} x rsync")
            yield Row("  rsync -a over ssh", "", theirs)


@contextmanager
def pool(number: int, shows: Sequence[str] = ()) -> Iterator[Home | str]:
    """A home whose pool `bench` has so many hosts; a text where this machine can have none.

    shows: folders of this machine that the hosts see.
    """
    sys.path.insert(0, str(ROOT))
    from tests.support.hosts import Lab, lab_missing

    if missing := lab_missing():
        yield f"left out: {missing}"
        return
    with Lab() as lab, home() as here:
        made = [lab.up(f"b{count}", shows=shows) for count in range(number)]
        addresses = ", ".join(host.address for host in made)
        text = f"bench: {{user: root, identity_file: {lab.key}, hosts: [{addresses}]}}\n"
        (here.folder / "ssh_pools.yaml").write_text(text)
        here.rsync_to = (str(lab.key), made[0].address)
        here.check()
        yield here


def _fill(work: Path) -> None:
    work.mkdir()
    for number in range(2):
        with (work / f"big-{number}").open("wb") as big:
            for _ in range(BIG_MIB):
                big.write(os.urandom(1 << 20))
    for number in range(SMALL_FILES):
        path = work / f"d{number % 50}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(SMALL_KIB << 10))


def _change(work: Path, what: str, turn: int) -> None:
    if what == "first" and turn:
        shutil.rmtree(work)
        _fill(work)
    elif what == "1 MiB changed":
        with (work / "big-0").open("r+b") as big:
            big.seek((100 + turn) << 20)
            big.write(os.urandom(1 << 20))


def _sent(here: Home, work: Path) -> float:
    """Milliseconds from the request to the first line of a job that finds its files there."""
    return first_line(here, lambda: here.launch("ls | head -1", "bench", ON_POOL, workdir=str(work)))


def _rsync(here: Home, work: Path, to: str) -> float:
    key, address = here.rsync_to
    remote = f"ssh -i {key} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
    argv = ["rsync", "-a", "--delete", "-e", remote, f"{work}/", f"root@{address}:/root/{to}/"]
    start = time.perf_counter()
    subprocess.run(argv, check=True)
    return (time.perf_counter() - start) * 1e3
