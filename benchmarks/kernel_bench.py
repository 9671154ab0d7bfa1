"""What is measured of kernels on a host: their start, a cell's round trip beside a local one, replaying."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from host_bench import ON_POOL, pool
from measures import Row

if TYPE_CHECKING:
    from skynb.kernels.handle import Kernel

STARTS, CELLS, MESSAGES = 5, 60, 10_000
TALK = f"for i in range({MESSAGES}): get_ipython().display_pub.publish({{'text/plain': str(i)}})"


def kernels() -> Iterator[Row]:
    """On a host that sees this machine's Python; the connection to it is warm."""
    with pool(1, shows=(sys.prefix, sys.base_prefix)) as here:
        if isinstance(here, str):
            yield Row("kernel on a warm host, ready", "1500", note=here)
            return
        from skynb import kernels as face

        list(here.pieces(here.launch("true", "bench", ON_POOL)))
        name = face.add("bench", "bench", python=sys.executable)
        starts = []
        for _ in range(STARTS):
            begin = time.perf_counter()
            with _kernel(name):
                starts.append((time.perf_counter() - begin) * 1e3)
        yield Row("kernel on a warm host, ready", "1500", starts)
        with _kernel(name) as far, _kernel("python3") as near:
            pairs = [(_round_trip(far), _round_trip(near)) for _ in range(CELLS)][5:]
        yield Row("  a cell's round trip", "", [far for far, _ in pairs])
        yield Row("  the same in a local kernel", "", [near for _, near in pairs])
        yield Row("  the difference", "25", [far - near for far, near in pairs])
        yield Row(f"  {MESSAGES} messages replayed", "1000", list(_replays()))


def _round_trip(client: Any) -> float:
    begin = time.perf_counter()
    client.execute("1", reply=True, timeout=30)
    return (time.perf_counter() - begin) * 1e3


def _replays() -> Iterator[float]:
    """From the making of a line to the last of the messages that came while there was none."""
    from skynb.kernels.handle import Kernel

    kernel = Kernel("bench")
    kernel.start(python=sys.executable)
    try:
        _replayed(kernel, _ask)
        for _ in range(3):
            yield _replayed(kernel, lambda *_: None)
    finally:
        kernel.end()


def _replayed(kernel: Kernel, ask: Callable[[dict[str, Any], Any], None]) -> float:
    """Milliseconds until a new relay has given all messages to somebody who was there before it connected."""
    import zmq

    from skynb.kernels.node.frames import PORTS
    from skynb.kernels.relay import Relay

    may = threading.Event()
    with tempfile.TemporaryDirectory(prefix="skynb-") as folder, zmq.Context() as context:
        info = {"ip": f"{folder}/s", "key": b"bench", **PORTS}
        relay = Relay(lambda: may.wait() and kernel.way(), info)
        relay.start()
        with context.socket(zmq.SUB) as said:
            said.rcvhwm = 0
            said.subscribe(b"")
            said.connect(f"ipc://{folder}/s-2")
            time.sleep(0.3)
            begin = time.perf_counter()
            may.set()
            ask(info, context)
            _count(said)
            taken = (time.perf_counter() - begin) * 1e3
        relay.close()
    return taken


def _ask(info: dict[str, Any], context: Any) -> None:
    """Have the kernel say it all, once."""
    import zmq
    from jupyter_client.session import Session

    session = Session(key=info["key"])
    with context.socket(zmq.DEALER) as shell:
        shell.connect(f"ipc://{info['ip']}-1")
        content = {"code": TALK, "silent": False, "allow_stdin": False}
        session.send(shell, "execute_request", content)
        while session.recv(shell, mode=0)[1]["msg_type"] != "execute_reply":
            pass


def _count(said: Any) -> None:
    left = MESSAGES
    while left:
        left -= b'"display_data"' in said.recv_multipart()[3]


@contextmanager
def _kernel(name: str) -> Iterator[Any]:
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name=name, startup_timeout=60)
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel()
