"""Signs of use that no job of ours explains: GPUs at work, and kernels that execute.

They are asked now and then in a thread, as both may hang; what cannot be told is unknown, and that is busy.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

from skynb_agent.environment import DEFAULT_PATH
from skynb_agent.idle import Signal

EVERY_S = 15.0
ASK_S = 10.0
GPU_PERCENT = 5  # less is a driver that idles
STALE_S = 120.0  # an answer that is older says nothing any more
KEPT = "kernel-*.busy"  # a kernel's keeper touches it while its kernel executes
_NOTHING = Signal("", busy=False, supported=False)


class Sensors:
    """The latest reading of each sign. `run` keeps them fresh; `signals` is cheap."""

    def __init__(self, home: Path, root: Path) -> None:
        self._asks: Dict[str, Callable[[], Signal]] = {"gpu": gpu, "kernels": lambda: kernels(home, root)}
        self._read: Dict[str, Signal] = {}
        self._at: Dict[str, float] = {}
        self._threads = ThreadPoolExecutor(len(self._asks), thread_name_prefix="sensor")

    async def run(self) -> None:
        """Ask all of them again and again, until cancelled."""
        await asyncio.gather(*(self._keep(name) for name in self._asks))

    def signals(self) -> List[Signal]:
        """What is known now; a sign that does not answer any more is unknown."""
        now = time.monotonic()
        return [
            read if now - self._at[name] < STALE_S else read._replace(busy=None)
            for name, read in self._read.items()
        ]

    async def _keep(self, name: str) -> None:
        loop = asyncio.get_event_loop()
        while True:
            self._read[name] = await loop.run_in_executor(self._threads, self._asks[name])
            self._at[name] = time.monotonic()
            await asyncio.sleep(EVERY_S)


def gpu() -> Signal:
    """Busy while some GPU of this node is; unsupported without nvidia-smi, unknown where that fails."""
    program = shutil.which("nvidia-smi", path=os.environ.get("PATH") or DEFAULT_PATH)
    if program is None:
        return _NOTHING._replace(name="gpu")
    argv = [program, "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=ASK_S, check=True)
        used = [int(line) for line in done.stdout.split()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return Signal("gpu", busy=None)
    return Signal("gpu", busy=any(percent >= GPU_PERCENT for percent in used))


def kernels(home: Path, root: Path) -> Signal:
    """Busy while a kernel of ours or of a Jupyter server of this login executes; unknown if it does not say.

    A kernel that waits is idle, whoever has its page open. The servers are those that Jupyter itself lists.
    """
    if any(_fresh(mark) for mark in root.glob(KEPT)):
        return Signal("kernels", busy=True)
    servers = [card for card in map(_card, _cards(home)) if card and _lives(card.get("pid"))]
    if not servers:
        return _NOTHING._replace(name="kernels")
    states = [_executing(card) for card in servers]
    return Signal("kernels", busy=True if True in states else None if None in states else False)


def _fresh(mark: Path) -> bool:
    try:
        return time.time() - mark.stat().st_mtime < STALE_S
    except OSError:
        return False


def _cards(home: Path) -> List[Path]:
    places = [home / ".local/share/jupyter/runtime", home / "Library/Jupyter/runtime"]
    return [card for place in places for card in sorted(place.glob("jpserver-*.json"))]


def _card(path: Path) -> Optional[Dict[str, Any]]:
    try:
        read = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return read if isinstance(read, dict) else None


def _lives(pid: Any) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, TypeError, ValueError):
        return False
    return True


def _executing(card: Dict[str, Any]) -> Optional[bool]:
    """Whether a kernel of this server is busy; None if it does not say. It is asked on this host only."""
    import urllib.request  # costs as much as half of the agent, and few nodes have a Jupyter server

    address = f"http://127.0.0.1:{card.get('port')}{card.get('base_url') or '/'}api/kernels"
    request = urllib.request.Request(address, headers={"Authorization": f"token {card.get('token') or ''}"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(request, timeout=ASK_S) as answer:
            found = json.load(answer)
        return any(kernel["execution_state"] == "busy" for kernel in found)
    except (OSError, ValueError, KeyError, TypeError):
        return None
