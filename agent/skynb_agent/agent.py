"""One node's daemon: joins the rooms, serves R/agent.sock, and ends the node when told or due."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Optional, Set

from skynb_agent import files, processes
from skynb_agent.head import Head
from skynb_agent.jobs import JobBook
from skynb_agent.links import Dialer, Listener
from skynb_agent.logs import LogShelf
from skynb_agent.methods import Methods
from skynb_agent.nodes import NodeBook
from skynb_agent.notices import NoticeWatch
from skynb_agent.peer import READ_SIZE, Peer
from skynb_agent.protocol import PROTOCOL, VERSION
from skynb_agent.ranks import RankHost
from skynb_agent.sensors import Sensors
from skynb_agent.services import ServiceHost
from skynb_agent.wake import Bell, Tasks, note
from skynb_agent.watchdog import Watchdog

if TYPE_CHECKING:
    from skynb_agent.config import Config

SOCKET = "agent.sock"
_END_GRACE_S = 5.0
_END_WITHIN_S = 20.0
_END_RETRY_S = 30.0
_TIDY_EVERY_S = 600.0


class Agent:
    """The whole of one node. Made and run once per process by cli.py."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.boot = config.boot_id or processes.boot_marker()
        self.born = time.monotonic()
        self.tasks = Tasks()
        self.changed = Bell()
        self.host = RankHost(config, self.boot, self.tasks, self.changed)
        self.services = ServiceHost(config, self.boot, self.tasks, self.changed)
        self.logs = LogShelf(self.host)
        self.sensors = Sensors(config.home, config.root)
        self.watchdog = Watchdog(config.root, config.lease, self.busy, self.working, self.sensors.signals)
        self.notices = NoticeWatch(config.notices, self.host.warned)
        self.head: Optional[Head] = None
        self.listener: Optional[Listener] = None
        self.dialer: Optional[Dialer] = None
        self.ending: Optional[str] = None
        self._peers: Set[Peer] = set()
        self._methods = Methods(self)
        self._leave: Optional[asyncio.Event] = None

    async def run(self) -> None:
        """Serve until told to leave; work that runs is left running."""
        self._leave = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self.changed.ring)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.leave)
        if self.config.is_head:
            await self._be_head()
        else:
            self._be_worker()
        self.host.load()
        self.services.load()
        if self.head is not None:
            self.head.take_all_reports(self.config.rank, self.config.node_id, self.host.reports())
        self.tasks.spawn(self._keep_clocks())
        self.tasks.spawn(self.notices.run())
        self.tasks.spawn(self.sensors.run())
        files.remove(self.config.root / SOCKET)
        server = await asyncio.start_unix_server(self._serve, SOCKET, limit=READ_SIZE)
        note("serving", self.config.node_id, self.config.role, "version", VERSION)
        await self._leave.wait()
        server.close()
        await self._depart()

    async def _be_head(self) -> None:
        book, nodes = JobBook(self.config.root), NodeBook(self.config, self.host)
        book.load()
        self.head = Head(book, nodes, self.tasks)
        self.head.on_submit = self.watchdog.new_job
        self.host.on_report = self.head.take_report
        if self.config.tls:
            self.listener = Listener(self.head, nodes, self.watchdog.contact)
            await self.listener.open()

    def _be_worker(self) -> None:
        self.dialer = Dialer(self.config, self.host)
        self.host.on_report = self.dialer.report
        self.dialer.on_ping = self.watchdog.take_contact
        self.dialer.on_end = lambda mode: self.end(mode, "the head says so")
        self.tasks.spawn(self.dialer.run())

    def leave(self) -> None:
        """Stop serving soon; jobs and services stay."""
        if self._leave is not None:
            self._leave.set()

    async def _depart(self) -> None:
        with suppress(OSError):  # the folder may be gone
            self.logs.save()
        if self.listener is not None:
            self.listener.close()
        for peer in list(self._peers):
            peer.close()
        self.tasks.cancel_all()
        files.remove(self.config.root / SOCKET)
        note("left")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, self._methods.handle)
        self._peers.add(peer)
        try:
            await peer.run()
        finally:
            self._peers.discard(peer)

    # -- what is going on here

    def busy(self) -> list[str]:
        """Names of what keeps this node from being idle."""
        waiting = self.head is not None and any(not job.final for job in self.head.book.active.values())
        jobs = ["jobs"] if waiting or self.host.busy() else []
        return jobs + [f"service:{name}" for name in self.services.busy()]

    def working(self) -> bool:
        """True while anything runs here or, seen from the head, anywhere in the cluster."""
        started = self.head is not None and any(
            j.slots and not j.final for j in self.head.book.active.values()
        )
        return started or self.host.busy() or bool(self.services.busy())

    def hello(self) -> dict[str, Any]:
        """The answer to `hello`, and what `start` prints."""
        config = self.config
        return {
            "version": VERSION,
            "protocol": PROTOCOL,
            "cluster": config.cluster,
            "cluster_id": config.cluster_id,
            "node_id": config.node_id,
            "generation": config.generation,
            "rank": config.rank,
            "role": config.role,
            "boot_id": self.boot,
            "pid": os.getpid(),
            "uptime_s": time.monotonic() - self.born,
            "head_port": self.listener.port if self.listener else None,
            "workers": sorted(self.head.nodes.links) if self.head else [],
            "joined": self.dialer.joined if self.dialer else None,
            "slots": config.slots.to_json(),
            "cpus": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "python": platform.python_version(),
            "ending": self.ending,
            "notices": self.notices.kept,
        }

    def status(self) -> dict[str, Any]:
        """The answer to `status`."""
        counts = self.head.counts() if self.head else {}
        found = {**self.watchdog.status(), "jobs": counts, "services": self.services.listing()}
        return {**found, "ending": self.ending, "notices": self.notices.kept}

    # -- clocks and the end

    async def _keep_clocks(self) -> None:
        tidied = time.monotonic()
        while self.ending is None:
            await asyncio.sleep(1.0)
            if not (self.config.root / "config.json").exists():
                note("the folder of this agent is gone: leaving")
                self.leave()
                return
            if self.head is not None:
                self.head.book.save_late()
            order = self.watchdog.tick()
            # while a worker hears its head, the head decides for the whole cluster
            if order is not None and not (self.dialer is not None and self.dialer.joined):
                self.end(*order)
            if time.monotonic() - tidied > _TIDY_EVERY_S:
                tidied = time.monotonic()
                self.logs.tidy()

    def end(self, mode: str, reason: str) -> None:
        """End all work here (and, from the head, everywhere), run config.end[mode], and leave."""
        if self.ending is None:
            self.ending = mode
            note("ending:", mode, reason)
            self.tasks.spawn(self._end(mode, reason))

    async def _end(self, mode: str, reason: str) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._end_work(mode, reason), _END_WITHIN_S)
        await self._end_workers(mode)  # also when a rank on an unreachable node kept the work from ending
        while not await self._run_end_command(mode):  # noqa: ASYNC110 - a retry, nothing to wait for
            await asyncio.sleep(_END_RETRY_S)
        self.leave()

    async def _end_work(self, mode: str, reason: str) -> None:
        if self.head is not None:
            self.head.paused = True
            started = [job.id for job in self.head.book.active.values() if job.slots and not job.final]
            self.head.cancel(started, _END_GRACE_S, f"the cluster is ending ({mode}): {reason}")
        else:
            self.host.stop_all(_END_GRACE_S)
        await self.services.stop_all(_END_GRACE_S)
        while self.working():
            await self.changed.wait(0.5)

    async def _end_workers(self, mode: str) -> None:
        links = list(self.head.nodes.links.values()) if self.head else []
        calls = [asyncio.ensure_future(link.call("end", {"mode": mode})) for link in links]
        if calls:
            done, _ = await asyncio.wait(calls, timeout=5.0)
            for call in done:
                call.exception()

    async def _run_end_command(self, mode: str) -> bool:
        argv = self.config.end.get(mode)
        if not argv:
            note("no command is configured for", mode)
            return True
        try:
            child = self._detached(argv)
        except OSError as error:
            note("the end command cannot be started:", error.strerror)
            return False
        for _ in range(50):  # a command that fails at once must not leave a paid node without its agent
            if child.poll() is not None:
                break
            await asyncio.sleep(0.1)
        if child.returncode not in {None, 0}:
            note("the end command failed with exit code", child.returncode)
        return child.returncode in {None, 0}

    def _detached(self, argv: list[str]) -> subprocess.Popen[bytes]:
        env = {key: value for key, value in os.environ.items() if not key.startswith("SKYNB_")}
        with (self.config.root / "agent.log").open("ab") as log:
            return subprocess.Popen(
                argv,
                cwd="/",
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
