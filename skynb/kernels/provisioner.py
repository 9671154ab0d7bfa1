"""`skynb-provisioner`: how Jupyter's kernel managers start, watch and end a kernel on a cluster's node."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Float, Int, Unicode

from skynb.errors import ProviderError, SkynbError
from skynb.kernels.handle import Kernel
from skynb.kernels.node.frames import PORTS
from skynb.kernels.relay import Relay
from skynb.wire import LEASE_HOURS

T = TypeVar("T")

START_SECONDS = 60.0
END_SECONDS = 10.0


class SkynbProvisioner(KernelProvisionerBase):
    """A kernel on a node, reached through the skynb server.

    Only what the cluster's transport carries is used: no port, no local environment and no secret goes there.
    A kernel that was started for a notebook by a Jupyter server that has gone is taken up again for it.
    """

    cluster = Unicode(help="Name of the cluster.").tag(config=True)
    rank = Int(0, help="Which of its nodes.").tag(config=True)
    python = Unicode(help="The Python on the node; default: the one that jobs see.").tag(config=True)
    lease_hours = Float(LEASE_HOURS, help="It ends when left idle for so long.").tag(config=True)

    _relay: Relay | None = None
    _kernel: Kernel | None = None
    _folder = ""
    _session = ""
    _left = False
    _why = ""

    @property
    def has_process(self) -> bool:
        return self._relay is not None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Sockets are files in a private folder, at this end, too."""
        manager: Any = self.parent
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="skynb-")
            manager.transport, manager.ip = "ipc", f"{self._folder}/s"
            for name, port in PORTS.items():
                setattr(manager, name, port)
        manager.write_connection_file()
        self.connection_info = manager.get_connection_info()
        env = kwargs.pop("env", None) or {}
        self._session = str(env.get("JPY_SESSION_NAME", ""))
        return await super().pre_launch(cmd=["skynb-kernel"], env={}, **kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        """Start a kernel, or take up the one of this notebook; SkynbError says why neither can be."""
        self._left = False
        again, kernel = self._kernel is not None, Kernel(self.cluster)
        try:
            if again or not await self._taken_up(kernel):
                await self._started(kernel)
        except SkynbError:
            await self.cleanup()
            raise
        return self.connection_info

    async def _started(self, kernel: Kernel) -> None:
        wanted = {"rank": self.rank, "session": self._session, "python": self.python}
        await self._in_thread(partial(kernel.start, lease_hours=self.lease_hours, **wanted))
        if not await self._attach(kernel, after=0):
            why = await self._in_thread(kernel.reason) or self._why
            why = why or f"it could not be reached within {START_SECONDS:g} s"
            raise ProviderError(f"the kernel on {self.cluster!r} did not start", why=why)

    async def poll(self) -> int | None:
        """None while it lives or cannot be reached; only node and server can say that it has ended."""
        if self._relay is None or self._left:
            return 0
        return self._relay.exit_code

    async def wait(self) -> int | None:
        if self._relay is not None and not self._left:
            await self._in_thread(self._relay.ended.wait)
        return await self.poll()

    async def send_signal(self, signum: int) -> None:
        """An interrupt goes by message; what ends a process ends the kernel."""
        if signum in {signal.SIGTERM, signal.SIGKILL}:
            await self.terminate()

    async def kill(self, restart: bool = False) -> None:
        await self.terminate(restart)

    async def terminate(self, restart: bool = False) -> None:
        """End the kernel and all that its cells started; a server that stops only lets go of it."""
        if self._leaving():
            self._left = True
        elif self._relay is not None and self._kernel is not None:
            await self._in_thread(self._kernel.end)
            await self._in_thread(self._relay.ended.wait, END_SECONDS)

    async def shutdown_requested(self, restart: bool = False) -> None:
        if self._leaving():
            self._left = True

    async def cleanup(self, restart: bool = False) -> None:
        """The record of a kernel that has ended says so at once."""
        relay, self._relay = self._relay, None
        if relay is not None:
            await self._in_thread(relay.close)
            if relay.exit_code is not None and self._kernel is not None:
                await self._in_thread(self._kernel.end)
        if not restart and self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""

    def get_shutdown_wait_time(self, recommended: float = 5.0) -> float:
        return max(recommended, END_SECONDS)

    async def _taken_up(self, kernel: Kernel) -> bool:
        """Whether there was a kernel of this notebook to which nobody was attached, and now we are."""
        if not self._session or not await self._in_thread(kernel.find, self._session, self.rank):
            return False
        return await self._attach(kernel, after=-1)

    async def _attach(self, kernel: Kernel, *, after: int) -> bool:
        """Whether a line to that kernel was made; it may have ended since."""
        self._kernel = kernel
        relay = self._relay = Relay(kernel.way, self.connection_info, after=after, holds_back=self._leaving)
        await self._in_thread(relay.start)
        await self._in_thread(relay.attached.wait, START_SECONDS)
        if relay.attached.is_set() and relay.exit_code is None:
            return True
        await self._in_thread(relay.close)
        self._relay, self._why = None, relay.why
        return False

    def _leaving(self) -> bool:
        """Whether the Jupyter server that has this kernel stops; its kernels are asked to end then."""
        application = getattr(getattr(self.parent, "parent", None), "parent", None)
        return bool(getattr(application, "_stopping", False))

    async def _in_thread(self, call: Callable[..., T], *values: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(None, partial(call, *values))
