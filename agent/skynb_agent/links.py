"""TLS between the agents of one cluster: the head listens, workers dial and dial again for ever.

Both sides prove themselves by a certificate of the cluster's own authority. The certificate's common name is
the node's id, and must be what the node says of itself.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

from skynb_agent import files
from skynb_agent.nodes import NodeBook, call_host
from skynb_agent.peer import READ_SIZE, Call, Peer
from skynb_agent.protocol import PROTOCOL, VERSION, Codes, RemoteError
from skynb_agent.ranks import DEFAULT_GRACE_S, RankHost
from skynb_agent.wake import Bell, note

if TYPE_CHECKING:
    from skynb_agent.config import Config
    from skynb_agent.head import Head

KEEPALIVE_S, SILENCE_S = 5.0, 20.0
_BACKOFF_S = (0.1, 10.0)
_JOIN_WITHIN_S = 10.0


def tls_context(config: Config, *, server: bool) -> ssl.SSLContext:
    """A context that presents this node's certificate and accepts only the cluster's own."""
    folder = files.private_folder(config.root / "tls")
    for name in ("ca", "cert", "key"):
        files.write_bytes(folder / f"{name}.pem", config.tls[name].encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False  # addresses change; names in certificates are node ids, checked after
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(str(folder / "cert.pem"), str(folder / "key.pem"))
    return context


def common_name(writer: asyncio.StreamWriter) -> str | None:
    """The other side's name in its certificate, which the handshake has verified."""
    certificate: Dict[str, Any] = writer.get_extra_info("peercert") or {}
    names = [value for group in certificate.get("subject", ()) for key, value in group if key == "commonName"]
    return names[0] if len(names) == 1 else None


class Listener:
    """The head's door for workers. `ping_facts` is told to each worker with every ping."""

    def __init__(self, head: Head, nodes: NodeBook, ping_facts: Callable[[], Dict[str, Any]]) -> None:
        self.port: Optional[int] = None
        self._head, self._nodes, self._ping_facts = head, nodes, ping_facts
        self._server: Optional[asyncio.AbstractServer] = None

    async def open(self) -> None:
        """Listen on the port of last time if it is free; R/head_port remembers it."""
        config = self._nodes.config
        remembered = files.read_json(config.root / "head_port")
        wanted = int((config.head or {}).get("port") or remembered or 0)
        context = tls_context(config, server=True)
        try:
            self._server = await self._listen(wanted, context)
        except OSError:
            if not wanted:
                raise
            note("port", wanted, "is taken; listening on another")
            self._server = await self._listen(0, context)
        self.port = self._server.sockets[0].getsockname()[1]
        if self.port != remembered:
            files.write_json(config.root / "head_port", self.port)

    async def _listen(self, port: int, context: ssl.SSLContext) -> asyncio.Server:
        bind = self._nodes.config.bind
        return await asyncio.start_server(self._serve, bind, port, ssl=context, limit=READ_SIZE)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, self._handle, keepalive_s=KEEPALIVE_S, silence_s=SILENCE_S)
        peer.facts["name"] = common_name(writer)
        peer.on_ping = self._ping_facts
        peer.tasks.spawn(self._hurry(peer))
        await peer.run()
        rank = peer.facts.get("rank")
        if rank is not None and self._nodes.links.get(rank) is peer:
            del self._nodes.links[rank]
            note("worker", rank, "is unreachable; what it runs is taken to run on")

    @staticmethod
    async def _hurry(peer: Peer) -> None:
        await asyncio.sleep(_JOIN_WITHIN_S)
        if "rank" not in peer.facts:
            peer.close()

    def _handle(self, call: Call) -> Any:
        if call.method == "join":
            return self._join(call)
        if "rank" not in call.peer.facts:
            raise RemoteError(Codes.REFUSED, "join first")
        if call.method == "report":
            if self._nodes.links.get(call.peer.facts["rank"]) is call.peer:
                self._head.take_report(call.params)
            return {}
        if call.method == "ping":
            return {}
        raise RemoteError(Codes.UNKNOWN_METHOD, f"no method {call.method}")

    def _join(self, call: Call) -> dict[str, Any]:
        params, peer = call.params, call.peer
        if params.get("node_id") != peer.facts["name"]:
            raise RemoteError(Codes.REFUSED, "the certificate is another node's")
        replaced = self._nodes.admit(params)
        rank = int(params["rank"])
        old = self._nodes.links.pop(rank, None)
        if old is not None:
            old.close()
        peer.facts["rank"] = rank
        self._nodes.links[rank] = peer
        note("worker", rank, "joined")
        if replaced is not None:
            self._head.node_replaced(replaced)
        self._head.take_all_reports(rank, str(params["node_id"]), list(params.get("reports") or []))
        return {"node_id": self._nodes.config.node_id, "protocol": PROTOCOL, **self._ping_facts()}

    def close(self) -> None:
        """Shut the door and end every link."""
        if self._server is not None:
            self._server.close()
        for link in list(self._nodes.links.values()):
            link.close()


class Dialer:
    """A worker's line to its head. `on_ping` gets what the head tells, `on_end` its last order."""

    def __init__(self, config: Config, host: RankHost) -> None:
        self.config = config
        self.peer: Optional[Peer] = None
        self.joined = False
        self.on_ping: Callable[[Dict[str, Any]], None] = lambda _facts: None
        self.on_end: Callable[[str], None] = lambda _mode: None
        self._host = host
        self._redial = Bell()
        self._said = ""

    def report(self, report: dict[str, Any]) -> None:
        """Tell the head, if it can be reached; if not, the next join tells everything."""
        if self.peer is not None:
            self.peer.tasks.spawn(self.peer.send({"id": 0, "method": "report", "params": report}))

    def redial(self) -> None:
        """The head has moved: drop the line and dial at once."""
        if self.peer is not None:
            self.peer.close()
        self._redial.ring()

    async def run(self) -> None:
        """Dial, join, serve, and again, for ever."""
        context = tls_context(self.config, server=False)
        pause = _BACKOFF_S[0]
        while True:
            began = time.monotonic()
            if self.config.head:
                await self._once(context)
            pause = (
                _BACKOFF_S[0] if time.monotonic() - began > _BACKOFF_S[1] else min(pause * 2, _BACKOFF_S[1])
            )
            await self._redial.wait(pause)

    async def _once(self, context: ssl.SSLContext) -> None:
        head = self.config.head or {}
        try:
            opening = asyncio.open_connection(head["host"], int(head["port"]), ssl=context, limit=READ_SIZE)
            reader, writer = await asyncio.wait_for(opening, 15.0)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError) as error:
            self._say(f"the head does not answer: {type(error).__name__}")
            return
        peer = Peer(reader, writer, self._handle, keepalive_s=KEEPALIVE_S, silence_s=SILENCE_S)
        peer.facts["name"] = common_name(writer)
        self.peer = peer
        peer.tasks.spawn(self._join(peer))
        try:
            await peer.run()
        finally:
            self.peer, self.joined = None, False

    async def _join(self, peer: Peer) -> None:
        config = self.config
        facts = {
            "cluster_id": config.cluster_id,
            "node_id": config.node_id,
            "generation": config.generation,
            "rank": config.rank,
            "slots": config.slots.to_json(),
            "protocol": PROTOCOL,
            "version": VERSION,
            "reports": self._host.reports(),
        }
        try:
            welcome = await peer.call("join", facts)
        except RemoteError as error:
            self._say(f"the head refuses this node: {error.code} {error.message}")
            if error.code == Codes.GONE:
                self._host.stop_all(DEFAULT_GRACE_S)
            peer.close()
            return
        if welcome.get("node_id") != peer.facts["name"]:
            note("whoever answers is not the head that its certificate names")
            peer.close()
            return
        self.joined = True
        self._say("joined the head")
        self.on_ping(welcome)

    def _say(self, words: str) -> None:
        if words != self._said:  # one line for as long as nothing changes, or the log would fill the disk
            note(words)
            self._said = words

    def _handle(self, call: Call) -> Any:
        if not self.joined and call.method != "ping":
            # the welcome is on its way in the same stream; a head never asks before it has sent it
            raise RemoteError(Codes.REFUSED, "not joined yet")
        if call.method == "ping":
            if self.joined:
                self.on_ping(call.params)
            return {}
        if call.method == "end":
            self.on_end(str(call.params["mode"]))
            return {"accepted": True}
        return call_host(self._host, call.method, call.params)
