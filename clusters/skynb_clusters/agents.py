"""Which agents we are in touch with, and what they last said."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import msgspec

from skynb.errors import ProviderError
from skynb_agent.protocol import Methods
from skynb_clusters.contract import Channel, Transport
from skynb_clusters.links import Link

log = logging.getLogger("skynb.agents")

HELLO_SECONDS = 5.0
REDIALS = 16  # connections made again at once; a host that does not answer holds one for seconds
DIALS = 2 * REDIALS  # all that are made at once: an agent that was just started waits for no old one


class Facts(msgspec.Struct, frozen=True):
    """What an agent says of itself. notices: None from an agent that knows of none."""

    node_id: str
    version: str
    head_port: int | None = None
    boot_id: str = ""
    notices: tuple[dict[str, Any], ...] | None = None


class Greeting(msgspec.Struct, frozen=True):
    """What an agent says to a server that knows nothing of it. jobs: numbers; None from a worker."""

    node_id: str
    autostop: dict[str, Any] | None = None
    jobs: tuple[int, ...] | None = None


class _Contact:
    def __init__(self, link: Link, facts: Facts) -> None:
        self.link = link
        self.facts = facts
        self.jobs: dict[int, dict[str, Any]] | None = None
        self.watching: asyncio.Task[None] | None = None
        self.heeding: asyncio.Task[None] | None = None


class AgentHub:
    """One link a node, made when first needed and again when it broke.

    on_job(node, number) is called when a head says that a job changed; on_news(node) when a look is worth
    while: its link ended, its jobs are known, its infra gave notice.
    """

    def __init__(self, on_job: Callable[[str, int], None], on_news: Callable[[str], None]) -> None:
        self._on_job = on_job
        self._on_news = on_news
        self._contacts: dict[str, _Contact] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._dialing = ThreadPoolExecutor(DIALS, thread_name_prefix="skynb-dial")
        self._again = asyncio.Semaphore(REDIALS)

    def link(self, node: str) -> Link | None:
        """The living link to this node's agent, if there is one."""
        contact = self._contacts.get(node)
        return contact.link if contact and not contact.link.closed else None

    def jobs(self, node: str) -> dict[int, dict[str, Any]] | None:
        """The head's jobs by number, kept current by its pushes; None while we are not in touch."""
        contact = self._contacts.get(node)
        return contact.jobs if contact and not contact.link.closed else None

    async def call(self, node: str, method: str, params: dict[str, Any] | None = None) -> Any:
        """Call the node's agent; ProviderError(retryable="unknown") without a link."""
        link = self.link(node)
        if link is None:
            raise ProviderError(f"no link to the agent of {node}", retryable="unknown")
        return await link.call(method, params)

    async def reach(self, node: str, name: str, transport: Transport, *, new: bool = False) -> Facts | None:
        """Say hello on the link, making it if need be; None if the agent of that name does not answer.

        An agent of another name does not count: addresses are used again, identities are not. new: it was
        just started, so somebody waits for it.
        """
        async with self._locks.setdefault(node, asyncio.Lock()):
            contact = self._contacts.get(node)
            if contact is None or contact.link.closed:
                contact = await self._connect(node, transport, new=new)
            if contact is None:
                return None
            try:
                hello = await contact.link.call(Methods.HELLO, timeout_s=HELLO_SECONDS)
                contact.facts = msgspec.convert(hello, Facts, strict=False)
            except (ProviderError, msgspec.ValidationError) as error:
                log.info("%s does not answer: %s", node, error)
                self.drop(node)
                return None
            if contact.facts.node_id != name:
                self.drop(node)
                return None
            if contact.watching is None:
                contact.watching = asyncio.create_task(self._watch(node, contact))
            if contact.heeding is None and contact.facts.notices is not None:
                contact.heeding = asyncio.create_task(self._heed(node, contact))
            return contact.facts

    async def greet(self, transport: Transport) -> Greeting | None:
        """Ask an agent who it is, over a link that does not last; None if none answers."""
        try:
            link = Link(await self._dial(transport), lambda: None)
        except ProviderError:
            return None
        try:
            hello = await link.call(Methods.HELLO, timeout_s=HELLO_SECONDS)
            status = await link.call(Methods.STATUS, timeout_s=HELLO_SECONDS)
            head = hello.get("role") == "head"
            listed = await link.call(Methods.JOBS, timeout_s=HELLO_SECONDS) if head else None
            jobs = None if listed is None else tuple(int(job["id"]) for job in listed["jobs"])
            return Greeting(str(hello["node_id"]), status["idle"]["autostop"], jobs)
        except (ProviderError, LookupError, TypeError, ValueError) as error:
            log.info("no greeting: %s", error)
            return None
        finally:
            link.close()

    def drop(self, node: str) -> None:
        """Close the link, if any."""
        contact = self._contacts.pop(node, None)
        if contact:
            for task in filter(None, (contact.watching, contact.heeding)):
                task.cancel()
            contact.link.close()

    def close(self) -> None:
        for node in list(self._contacts):
            self.drop(node)
        self._dialing.shutdown(wait=False, cancel_futures=True)

    async def _dial(self, transport: Transport) -> Channel:
        return await asyncio.get_running_loop().run_in_executor(
            self._dialing, transport.connect, "unix:agent.sock"
        )

    async def _connect(self, node: str, transport: Transport, *, new: bool) -> _Contact | None:
        try:
            async with nullcontext() if new else self._again:
                channel = await self._dial(transport)
        except ProviderError:
            return None
        link = Link(channel, on_close=lambda: self._on_news(node))
        contact = self._contacts[node] = _Contact(link, Facts(node, ""))
        return contact

    async def _watch(self, node: str, contact: _Contact) -> None:
        """Keep the jobs of a head current, from all it knows to each change as it comes."""
        try:
            listed = await contact.link.call(Methods.JOBS)
            contact.jobs = {int(job["id"]): job for job in listed["jobs"]}
            for number in contact.jobs:
                self._on_job(node, number)
            self._on_news(node)  # whoever waited to know can look now
            async for batch in contact.link.stream(Methods.WATCH, {"rev": listed["rev"]}):
                for frame in batch:
                    job = frame.body["job"]
                    contact.jobs[int(job["id"])] = job
                    self._on_job(node, int(job["id"]))
        except ProviderError as error:
            log.info("%s: %s", node, error)

    async def _heed(self, node: str, contact: _Contact) -> None:
        """Have the node looked at when its infra gives notice; the next hello says of what."""
        try:
            async for _ in contact.link.stream(Methods.NOTICES, {}):
                self._on_news(node)
        except ProviderError as error:
            log.info("%s: %s", node, error)
