"""Keeps one kernel: starts it, writes down all it says, and hands that to whoever is attached, when it is.

The kernel's sockets are files that only this login can open. A relay comes over a socket in the agent's
folder; each frame it sends is done once, each frame of the kernel reaches it once, however often the line
between them breaks.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import importlib.util
import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from .frames import PORTS, Decoder, FrameError, encode
from .journal import Journal

DELIMITER = b"<IDS|MSG>"
NEEDS = ("zmq", "ipykernel")
CHUNK = 1 << 20
KEPT = 512 << 20  # bytes of what the kernel said
TOUCH_S = 20.0
NUDGE_S = 0.1
CALM_S = 0.2
FULL_S = 2.0  # between two attempts at a disk that is full
LAST_WORDS_S = 5.0  # an attached reader gets so long to take the end
LONGEST = 70  # characters of a folder in which sockets can still have names
PRIVATE_LIMIT = 64 << 20  # bytes that a relay may send before they are read


def main() -> int | str:
    """The kernel's exit status, or why there is none."""
    parser = argparse.ArgumentParser(prog="keeper")
    parser.add_argument("--root", type=Path, required=True, help="the agent's folder")
    parser.add_argument("--name", required=True, help="of the kernel, and of its socket in that folder")
    parser.add_argument("--lease", type=float, required=True, help="idle seconds without anybody attached")
    options = parser.parse_args()
    for module in NEEDS:
        if importlib.util.find_spec(module) is None:
            return f"{sys.executable} has no {module}: add `pip install ipykernel` to the setup"
    os.umask(0o077)
    place = "/tmp" if len(tempfile.gettempdir()) > LONGEST else None  # noqa: S108 - private to this login
    with tempfile.TemporaryDirectory(prefix="skynb-kernel-", dir=place) as folder:
        return asyncio.run(keep(options, Path(folder)))


async def keep(options: argparse.Namespace, folder: Path) -> int:
    """Keep a kernel; `folder` is for its sockets."""
    return await Keeper(options, folder).run()


class Keeper:
    """One kernel and its journal. Everything happens on one event loop."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._root, self._name, self._lease = options.root, options.name, options.lease
        self._folder = folder
        self._key = secrets.token_hex(32).encode()
        self._journal = Journal(self._root / f"{self._name}.journal", KEPT)
        self._grown = asyncio.Condition()
        self._ready = asyncio.Event()
        self._over = asyncio.Event()
        self._told = asyncio.Event()
        self._nudge = uuid.uuid4().hex
        self._sockets: dict[str, Any] = {}
        self._got: dict[str, int] = {}
        self._attached: asyncio.StreamWriter | None = None
        self._used_at = time.monotonic()
        self._cells: set[str] = set()
        self._why = ""
        self._asked = False
        self._kernel: subprocess.Popen[bytes] | None = None

    async def run(self) -> int:
        """Keep the kernel until it ends, and its last words until they were read or the lease is over."""
        self._start()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, "")
        os.chdir(self._root)  # the name of a socket may be no longer than some 100 bytes
        with suppress(FileNotFoundError):
            Path(f"{self._name}.sock").unlink()
        server = await asyncio.start_unix_server(self._serve, f"{self._name}.sock", limit=PRIVATE_LIMIT)
        listening = [asyncio.ensure_future(self._listen(channel)) for channel in self._sockets]
        tasks = [*listening, *map(asyncio.ensure_future, (self._greet(), self._mind_lease()))]
        assert self._kernel is not None
        code = await loop.run_in_executor(None, self._kernel.wait)
        self._ready.set()
        await self._calm()
        await self._tell({"exit": code if code >= 0 else 128 - code, "why": self._why})
        self._cells.clear()
        self._mark()
        await self._read_out()
        for task in tasks:
            task.cancel()
        server.close()
        self._journal.close()
        with suppress(FileNotFoundError):
            Path(f"{self._name}.sock").unlink()
        if self._why:
            sys.stderr.write(f"{self._why}\n")
        return code if code >= 0 else 128 - code

    def _start(self) -> None:
        import zmq
        import zmq.asyncio

        stem = str(self._folder / "s")
        card = {"transport": "ipc", "ip": stem, "key": self._key.decode(), "signature_scheme": "hmac-sha256"}
        path = self._folder / "kernel.json"
        path.write_text(json.dumps({**card, **PORTS}))
        own = [sys.path[0], *filter(None, [os.environ.get("PYTHONPATH")])]  # its cells may need `values`
        self._kernel = subprocess.Popen(
            [sys.executable, "-m", "ipykernel_launcher", "-f", str(path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(own)},
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # an interrupt is for the kernel and what its cell started
        )
        context = zmq.asyncio.Context()
        kinds = {"shell": zmq.DEALER, "control": zmq.DEALER, "stdin": zmq.DEALER, "iopub": zmq.SUB}
        for channel, kind in kinds.items():
            made = self._sockets[channel] = context.socket(kind)
            made.setsockopt(zmq.LINGER, 0)
            made.setsockopt(zmq.SNDHWM, 0)
            made.setsockopt(zmq.RCVHWM, 0)
            if kind == zmq.DEALER:
                made.setsockopt(zmq.IDENTITY, b"keeper")
            else:
                made.setsockopt(zmq.SUBSCRIBE, b"")
            made.connect(f"ipc://{stem}-{PORTS[f'{channel}_port']}")

    async def _greet(self) -> None:
        """Ask the kernel until it is heard on iopub: what it says before is heard by nobody."""
        for turn in itertools.count():  # a kernel takes a message of one signature once
            if self._ready.is_set():
                return
            await self._send("shell", [], _message("kernel_info_request", f"{self._nudge}-{turn}"))
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._ready.wait(), NUDGE_S)

    async def _listen(self, channel: str) -> None:
        """Write down what the kernel says on one channel."""
        while True:
            message = await self._sockets[channel].recv_multipart()
            if DELIMITER not in message:
                continue
            at = message.index(DELIMITER)
            idents, parts = message[:at], message[at + 2 :]
            if self._nudge.encode() in parts[1]:
                if channel == "iopub":
                    self._ready.set()
                continue
            if channel == "iopub":
                if b'"iopub_welcome"' in parts[0]:
                    continue
                self._heed(parts)
            await self._tell({"ch": channel, "ids": len(idents)}, [*idents, *parts])

    def _heed(self, parts: list[bytes]) -> None:
        """Cells that run are work; other requests make the kernel busy for a moment, also meanwhile."""
        if b'"status"' not in parts[0] or b'"execute_request"' not in parts[1]:
            return
        cell = json.loads(parts[1])["msg_id"]
        if json.loads(parts[3])["execution_state"] == "busy":
            self._cells.add(cell)
        else:
            self._cells.discard(cell)
        self._mark()

    def _mark(self) -> None:
        """A file tells the agent, whose node is not idle then."""
        mark = Path(f"{self._name}.busy")
        self._used_at = time.monotonic()
        if self._cells:
            mark.touch()
        elif mark.exists():
            mark.unlink()

    async def _tell(self, head: dict[str, Any], parts: list[bytes] = []) -> None:  # noqa: B006 - only read
        while True:
            try:
                self._journal.append(head, parts)
                break
            except OSError as error:  # what comes meanwhile waits in memory
                sys.stderr.write(f"the journal cannot be written: {error}\n")
                await asyncio.sleep(FULL_S)
        async with self._grown:
            self._grown.notify_all()

    async def _calm(self) -> None:
        """Until nothing more comes of what the kernel said last, which is on its way."""
        last = -1
        while last < self._journal.last:
            last = self._journal.last
            await asyncio.sleep(CALM_S)

    async def _send(self, channel: str, idents: list[bytes], parts: list[bytes]) -> None:
        signature = hmac.new(self._key, b"".join(parts[:4]), hashlib.sha256).hexdigest().encode()
        await self._sockets[channel].send_multipart([*idents, DELIMITER, signature, *parts])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One relay: it says who it is and what it has, and gets the rest. The newest one is the attached."""
        decoder, sending = Decoder(), None
        try:
            while data := await reader.read(CHUNK):
                for head, parts in decoder.feed(data):
                    if "hello" in head:
                        client = str(head["hello"])
                        sending = await self._attach(writer, client, int(head["after"]))
                    elif sending is None:
                        return
                    elif "read" in head:
                        self._told.set()
                    else:
                        await self._ready.wait()
                        await self._do(client, head, parts)
                        writer.write(encode({"got": self._got[client]}))
        except (OSError, FrameError, KeyError, TypeError, ValueError) as error:
            sys.stderr.write(f"a relay is gone: {error!r}\n")
        finally:
            if sending is not None:
                sending.cancel()
            if self._attached is writer:
                self._attached, self._used_at = None, time.monotonic()
            writer.close()

    async def _do(self, client: str, head: dict[str, Any], parts: list[bytes]) -> None:
        """Hand a frame to the kernel, unless another line of the same relay has brought it before."""
        if head["n"] > self._got.get(client, 0):
            self._got[client] = head["n"]  # before anybody else has a turn; the socket's queue has no end
            count = head["ids"]
            await self._send(head["ch"], parts[:count], parts[count:])

    async def _attach(self, writer: asyncio.StreamWriter, client: str, after: int) -> asyncio.Future[None]:
        if self._attached is not None:
            self._attached.write(encode({"taken": True}))
            self._attached.close()
        self._attached = writer
        if after < 0:
            after = self._journal.last
        writer.write(encode({"welcome": after, "got": self._got.get(client, 0)}))
        return asyncio.ensure_future(self._hand_over(writer, after))

    async def _hand_over(self, writer: asyncio.StreamWriter, after: int) -> None:
        """All of the journal behind `after`, and then each frame as it comes."""
        with suppress(OSError):
            while True:
                async with self._grown:
                    while self._journal.last <= after:
                        await self._grown.wait()
                data, after = self._journal.read(after, CHUNK)
                writer.write(data)
                await writer.drain()

    async def _mind_lease(self) -> None:
        while True:
            await asyncio.sleep(min(TOUCH_S, self._lease / 4))
            if self._cells:
                self._mark()
            elif self._attached is None and time.monotonic() - self._used_at > self._lease:
                self._end(f"nobody was attached for {self._lease / 3600:g} hours, and nothing ran")

    def _end(self, why: str) -> None:
        """End the kernel; without a reason of ours somebody asked for it."""
        self._asked = self._asked or not why
        if self._kernel is not None and self._kernel.poll() is None:
            self._why = self._why or why
            self._kernel.terminate()
        else:
            self._over.set()

    async def _read_out(self) -> None:
        """Wait until somebody has read the end: who is here gets moments, who is away gets the lease.

        Where the end was asked for, or is the lease's, nobody will come who is not here.
        """
        if self._why or (self._asked and self._attached is None):
            return
        waits = [asyncio.ensure_future(self._told.wait()), asyncio.ensure_future(self._over.wait())]
        limit = LAST_WORDS_S if self._attached is not None else self._lease
        await asyncio.wait(waits, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


def _message(kind: str, number: str) -> list[bytes]:
    header = {"msg_id": number, "msg_type": kind, "username": "skynb", "session": number, "version": "5.3"}
    return [json.dumps(header).encode(), b"{}", b"{}", b"{}"]
