"""A kernel on a cluster that this process uses: cells run there, and what they give comes here."""

from __future__ import annotations

import ast
import atexit
import base64
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from queue import Empty
from secrets import token_hex
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient

from skynb.client import server
from skynb.errors import NotFoundError, ProviderError, SkynbError, SpecError
from skynb.kernels.handle import Kernel
from skynb.kernels.node.frames import PORTS
from skynb.kernels.node.values import pack, unpack
from skynb.kernels.relay import Relay
from skynb.wire import ClusterInfo

Emit = Callable[[str, dict[str, Any]], None]

READY_SECONDS = 60.0
TICK_S = 0.1
LEASE_HOURS = 1.0
_PREPARE = "import base64 as _skynb_base64, skynb_kernel.values as _skynb_values"
_BASE64, _VALUES = "_skynb_base64", "_skynb_values"
SHOWN = {"stream", "display_data", "execute_result", "update_display_data", "clear_output", "error"}
_OPEN: dict[str, RemoteKernel] = {}


class CellError(SkynbError):
    """The code raised, there."""

    code = "cell"


class Ran:
    """How a cell ran. sent, got: bytes by name. values: what came back."""

    def __init__(self, cluster: str, seconds: float, sent: dict[str, int]) -> None:
        self.cluster = cluster
        self.seconds = seconds
        self.sent = sent
        self.got: dict[str, int] = {}
        self.values: dict[str, Any] = {}

    def to_dict(self) -> dict[str, Any]:
        """The figures in plain JSON types, without the values."""
        return {"cluster": self.cluster, "seconds": self.seconds, "sent": self.sent, "got": self.got}

    def __str__(self) -> str:
        parts = [f"ran on {self.cluster} in {self.seconds:.1f} s"]
        parts += [f"sent {name} ({_size(size)})" for name, size in self.sent.items()]
        parts += [f"got {name} ({_size(size)})" for name, size in self.got.items()]
        return "; ".join(parts)

    __repr__ = __str__


class RemoteKernel:
    """One kernel, its relay and a client of it."""

    def __init__(self, cluster: str) -> None:
        self.cluster = cluster
        self._kernel = Kernel(cluster)
        number = self._kernel.start(lease_hours=LEASE_HOURS)
        self._folder = tempfile.mkdtemp(prefix="skynb-")
        info: dict[str, Any] = {"transport": "ipc", "ip": f"{self._folder}/s", **PORTS}
        info.update(key=token_hex(32).encode(), signature_scheme="hmac-sha256")
        self._relay = Relay(self._kernel.way, info)
        self._relay.start()
        self._client = BlockingKernelClient()
        self._client.load_connection_info(info)  # type: ignore[arg-type]
        self._relay.attached.wait(READY_SECONDS)
        if self._relay.exit_code is not None or not self._relay.attached.is_set():
            why = self._kernel.reason() or self._relay.why or None
            self.close()
            raise ProviderError(f"kernel {number} on {cluster!r} did not start", why=why)
        self._client.start_channels()
        try:
            self._client.wait_for_ready(timeout=READY_SECONDS)
        except RuntimeError as error:
            self.close()
            raise ProviderError(f"kernel {number} on {cluster!r} did not start", why=str(error)) from None

    def run(
        self,
        code: str,
        *,
        inputs: Mapping[str, Any],
        outputs: Sequence[str],
        pickled: bool,
        limit: int,
        emit: Emit,
    ) -> Ran:
        """See `skynb.kernels.run`. An interrupt goes to the code there; a second one is taken here."""
        began = time.monotonic()
        packed = {name: _packed(name, value, limit, pickled=pickled) for name, value in inputs.items()}
        for name, (kind, data) in packed.items():
            text = f"{_BASE64}.b64decode({base64.b64encode(data).decode()!r})"
            self._quietly(f"{name} = {_VALUES}.unpack({kind!r}, {text}, pickled={pickled})")
        self._run(code, emit)
        sent = {name: len(data) for name, (_, data) in packed.items()}
        ran = Ran(self.cluster, time.monotonic() - began, sent)
        for name in outputs:
            ran.got[name], ran.values[name] = self._fetch(name, limit, pickled=pickled)
        return ran

    def ended(self) -> bool:
        """Whether it is known to have ended."""
        return self._relay.exit_code is not None

    def close(self) -> None:
        """End the kernel, and let go of it. Safe to call twice."""
        _OPEN.pop(self.cluster, None)
        self._client.stop_channels()
        self._relay.close()
        self._kernel.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, code: str, emit: Emit) -> None:
        number = self._client.execute(code, allow_stdin=True)
        failed: dict[str, Any] | None = None
        interrupted = False
        while True:
            try:
                kind, content = self._next(number)
            except KeyboardInterrupt:
                if interrupted:
                    raise
                interrupted = True
                self._client.control_channel.send(self._client.session.msg("interrupt_request", {}))
                continue
            if kind in SHOWN:
                emit(kind, content)
            if kind == "error":
                failed = content
            if kind == "status" and content["execution_state"] == "idle":
                break
        self._reply(number)
        if failed is not None:
            raise CellError(f"{failed['ename']} on {self.cluster!r}", why=str(failed["evalue"]) or None)

    def _next(self, number: str) -> tuple[str, dict[str, Any]]:
        """Type and content of the next of this request's outputs; questions are answered meanwhile."""
        while True:
            if self._client.stdin_channel.msg_ready():
                self._answer(self._client.get_stdin_msg())
            try:
                message = self._client.get_iopub_msg(timeout=TICK_S)
            except Empty:
                self._check_alive()
            else:
                if message["parent_header"].get("msg_id") == number:
                    return message["msg_type"], message["content"]

    def _quietly(self, code: str, **wanted: str) -> dict[str, Any]:
        """Run code that shows nothing and is in no history; the values of `wanted`, as their text."""
        number = self._client.execute(
            f"{_PREPARE}\n{code}", silent=True, store_history=False, user_expressions=wanted
        )
        content: dict[str, Any] = self._reply(number)["content"]
        if content["status"] != "ok":
            raise CellError(f"{content.get('ename')} on {self.cluster!r}", why=content.get("evalue"))
        return dict(content.get("user_expressions", {}))

    def _fetch(self, name: str, limit: int, *, pickled: bool) -> tuple[int, Any]:
        expression = f"(lambda one: (one[0], len(one[1]), one[1] if len(one[1]) <= {limit} else b''))"
        found = self._quietly("", value=f"{expression}({_VALUES}.pack({name}, pickled={pickled}))")["value"]
        if found["status"] != "ok":
            raise _refused(name, f"{found['ename']}: {found['evalue']}", pickled=pickled)
        kind, size, data = ast.literal_eval(found["data"]["text/plain"])
        if size > limit:
            raise _too_large(name, size, limit)
        return size, unpack(kind, data, pickled=pickled)

    def _reply(self, number: str) -> dict[str, Any]:
        while True:
            try:
                reply: dict[str, Any] = self._client.get_shell_msg(timeout=TICK_S)
            except Empty:
                self._check_alive()
            else:
                if reply["parent_header"].get("msg_id") == number:
                    return reply

    def _answer(self, question: Mapping[str, Any]) -> None:
        import getpass

        ask = getpass.getpass if question["content"]["password"] else input
        self._client.input(ask(question["content"]["prompt"]))

    def _check_alive(self) -> None:
        if self._relay.exit_code is not None:
            why = self._relay.why or f"exit status {self._relay.exit_code}"
            self.close()
            what, mend = f"the kernel on {self.cluster!r} has ended", "Run it again: a new one is started"
            raise ProviderError(what, why=why, mend=mend)


def on_cluster(name: str | None) -> RemoteKernel:
    """This process's kernel on a cluster, the only one that is up by default; started when there is none."""
    cluster = name or _only_one()
    kernel = _OPEN.get(cluster)
    if kernel is not None and kernel.ended():
        kernel.close()
        kernel = None
    if kernel is None:
        kernel = _OPEN[cluster] = RemoteKernel(cluster)
    return kernel


def close_all() -> None:
    """End every kernel that this process has used."""
    for kernel in list(_OPEN.values()):
        kernel.close()


@atexit.register
def _close_with_the_process() -> None:
    if _OPEN and server.card() is not None:  # no server is started for this: a kernel also ends by its lease
        close_all()


def _only_one() -> str:
    from skynb.client.sdk import connection

    up = [one.name for one in connection().call("GET", "/clusters", list[ClusterInfo]) if one.status == "UP"]
    if not up:
        raise NotFoundError("no cluster is up", mend="`skynb launch` one, or name one with -c")
    if len(up) > 1:
        what = f"{len(up)} clusters are up: {', '.join(sorted(up))}"
        raise SpecError(what, where="cluster", mend="Name one with -c")
    return up[0]


def _packed(name: str, value: Any, limit: int, *, pickled: bool) -> tuple[str, bytes]:
    try:
        kind, data = pack(value, pickled=pickled)
    except (TypeError, ImportError) as error:
        raise _refused(name, str(error), pickled=pickled) from None
    if len(data) > limit:
        raise _too_large(name, len(data), limit)
    return kind, data


def _refused(name: str, why: str, *, pickled: bool) -> SpecError:
    mend = None if pickled else "Give --pickle, if you trust whoever made it"
    return SpecError(f"{name!r} cannot travel", why=why, where=name, mend=mend)


def _too_large(name: str, size: int, limit: int) -> SpecError:
    mend = "Give a larger --limit, or write it to a file or a bucket there"
    return SpecError(f"{name!r} has {_size(size)}, the limit is {_size(limit)}", where=name, mend=mend)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
