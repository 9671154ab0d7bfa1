"""The methods that the server calls over R/agent.sock: each checks its parameters and passes them on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, Union

from skynb_agent import hosts, idle
from skynb_agent.logs import follower_from
from skynb_agent.protocol import MAX_FRAME, Codes, RemoteError
from skynb_agent.protocol import Methods as Names
from skynb_agent.ranks import DEFAULT_GRACE_S

if TYPE_CHECKING:
    from skynb_agent.agent import Agent
    from skynb_agent.head import Head
    from skynb_agent.peer import Call


class Methods:
    """The table of methods. Every call, whatever it asks, tells the watchdog that the server is in touch."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._table: Dict[str, Callable[[Call], Union[Any, Awaitable[Any]]]] = {
            Names.HELLO: lambda _: agent.hello(),
            Names.STATUS: lambda _: agent.status(),
            Names.CONFIGURE: self._configure,
            Names.SUBMIT: lambda call: self._head().submit(dict(call.params["job"])),
            Names.JOBS: self._jobs,
            Names.WATCH: self._watch,
            Names.NOTICES: self._notices,
            Names.UNSUBSCRIBE: self._unsubscribe,
            Names.CANCEL: self._cancel,
            Names.NODE_GONE: self._node_gone,
            Names.LOG_FOLLOW: self._log_follow,
            Names.LOG_ACK: self._log_ack,
            Names.SERVICE_START: lambda call: self._open_for_work(agent.services.start)(call.params),
            Names.SERVICE_STOP: self._service_stop,
            Names.SERVICE_LIST: lambda _: {"services": agent.services.listing()},
            Names.SERVICE_LOG: self._service_log,
            Names.LEASE_RENEW: self._lease_renew,
            Names.AUTOSTOP_SET: self._autostop_set,
            Names.END: self._end,
            Names.SHUTDOWN: self._shutdown,
            "ping": lambda _: {},
        }

    def handle(self, call: Call) -> Any:
        """Answer one request; RemoteError `unknown-method` for words of a newer server."""
        self._agent.watchdog.heard()
        method = self._table.get(call.method)
        if method is None:
            raise RemoteError(Codes.UNKNOWN_METHOD, f"this agent has no method {call.method}")
        return method(call)

    def _head(self) -> Head:
        head = self._agent.head
        if head is None:
            raise RemoteError(Codes.NOT_HEAD, "only the head has the queue")
        return head

    def _open_for_work(self, method: Callable[[Any], Any]) -> Callable[[Any], Any]:
        if self._agent.ending is not None:
            raise RemoteError(Codes.ENDING, "this node is ending and takes no new work")
        return method

    def _configure(self, call: Call) -> dict[str, Any]:
        agent, allowed = self._agent, ("head", "node_ips", "env")
        changes = {key: call.params[key] for key in allowed if call.params.get(key) is not None}
        if "env" in changes:
            changes["env"] = {str(key): str(value) for key, value in changes["env"].items()}
        if "peers" in call.params:
            peers = dict(call.params["peers"])
            lines = [str(line) for line in peers.get("lines") or ()]
            hosts.tell(agent.config.root, lines, system=bool(peers.get("names")))
        moved = "head" in changes and changes["head"] != agent.config.head
        agent.config.update(changes)
        if moved and agent.dialer is not None:
            agent.dialer.redial()
        return agent.hello()

    def _jobs(self, call: Call) -> dict[str, Any]:
        book = self._head().book
        return {"rev": book.rev, "jobs": book.newer(int(call.params.get("rev") or 0))}

    def _watch(self, call: Call) -> dict[str, Any]:
        head, rev = self._head(), int(call.params.get("rev") or 0)
        return self._stream(call, lambda: head.watch(call, rev))

    def _notices(self, call: Call) -> dict[str, Any]:
        return self._stream(call, lambda: self._agent.notices.push(call))

    @staticmethod
    def _stream(call: Call, make: Callable[[], Any]) -> dict[str, Any]:
        async def after_the_answer() -> None:
            await asyncio.sleep(0)
            try:
                await make()
            finally:
                call.peer.streams.pop(call.number, None)

        call.peer.streams[call.number] = call.peer.tasks.spawn(after_the_answer())
        return {"sub": call.number}

    @staticmethod
    def _unsubscribe(call: Call) -> dict[str, Any]:
        stream = call.peer.streams.pop(int(call.params["sub"]), None)
        if stream is not None:
            stream.cancel()
        return {}

    def _cancel(self, call: Call) -> dict[str, Any]:
        ids = call.params["ids"]
        grace = call.params.get("grace_s")
        wanted = None if ids == "all" else [int(number) for number in ids]
        return {"jobs": self._head().cancel(wanted, DEFAULT_GRACE_S if grace is None else float(grace))}

    def _node_gone(self, call: Call) -> dict[str, Any]:
        return {"jobs": self._head().node_gone(int(call.params["rank"]), str(call.params["node_id"]))}

    def _log_follow(self, call: Call) -> dict[str, Any]:
        follower = follower_from(call.params)
        return self._stream(call, lambda: self._agent.logs.follow(call.peer, call.number, follower))

    async def _log_ack(self, call: Call) -> dict[str, Any]:
        params = call.params
        acked = await self._agent.logs.ack(
            call.peer, (int(params["job"]), int(params["rank"])), int(params["offset"])
        )
        return {"acked": acked}

    async def _service_stop(self, call: Call) -> dict[str, Any]:
        grace = call.params.get("grace_s")
        return await self._agent.services.stop(
            str(call.params["name"]), 10.0 if grace is None else float(grace)
        )

    def _service_log(self, call: Call) -> dict[str, Any]:
        limit = min(int(call.params.get("limit") or 65536), MAX_FRAME // 8)
        start, data = self._agent.services.tail(str(call.params["name"]), limit, call.params.get("offset"))
        return {"offset": start, "text": data.decode(errors="replace"), "next": start + len(data)}

    def _lease_renew(self, call: Call) -> dict[str, Any]:
        presence, envelope = call.params.get("presence_s"), call.params.get("envelope_s")
        self._agent.watchdog.renew(
            None if presence is None else float(presence), None if envelope is None else float(envelope)
        )
        paid = call.params.get("paid_s")
        self._agent.watchdog.pay(
            None if paid is None else float(paid), _end_mode(call.params.get("paid_end"))
        )
        return dict(self._agent.status()["lease"])

    def _autostop_set(self, call: Call) -> dict[str, Any]:
        minutes, wait_for = (
            call.params.get("idle_minutes"),
            str(call.params.get("wait_for") or "jobs_and_ssh"),
        )
        if wait_for not in idle.WAIT_FOR:
            raise RemoteError(Codes.BAD_REQUEST, f"wait_for must be one of {', '.join(idle.WAIT_FOR)}")
        down = bool(call.params.get("down"))
        self._agent.watchdog.arm(None if minutes is None else float(minutes), down=down, wait_for=wait_for)
        return dict(self._agent.status()["idle"])

    def _end(self, call: Call) -> dict[str, Any]:
        self._agent.end(_end_mode(call.params["mode"]), "asked by the server")
        return {"accepted": True, "mode": self._agent.ending}

    async def _shutdown(self, call: Call) -> dict[str, Any]:
        agent = self._agent
        if call.params.get("kill"):
            agent.host.stop_all(2.0)
            await agent.services.stop_all(2.0)
            while agent.host.busy():
                await agent.changed.wait(0.5)
        asyncio.get_running_loop().call_later(0.05, agent.leave)
        return {"pid": agent.hello()["pid"]}


def _end_mode(word: Any) -> str:
    mode = str(word or "down")
    if mode not in {"stop", "down"}:
        raise RemoteError(Codes.BAD_REQUEST, "mode must be stop or down")
    return mode
