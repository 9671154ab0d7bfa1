"""Requests to the server about one kernel, and the way to it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, TypeVar

from skynb.client.http import Connection, segment
from skynb.client.server import ensure
from skynb.errors import SkynbError
from skynb.kernels.relay import Way
from skynb.wire import API_PREFIX, KernelInfo, KernelRequest

T = TypeVar("T")


class Kernel:
    """A kernel on a cluster, by number once it was started or found. Every method may block."""

    def __init__(self, cluster: str) -> None:
        self.number: int | None = None
        self._path = f"/clusters/{segment(cluster)}/kernels"

    def start(self, **wanted: Any) -> int:
        """Ask for a new one; durable when this returns."""
        self.number = self._call("POST", self._path, KernelInfo, KernelRequest(**wanted)).id
        return self.number

    def find(self, session: str, rank: int) -> bool:
        """Whether there is one of this session to which nobody is attached; the newest is taken."""
        found = self._call("GET", self._path, list[KernelInfo])
        mine = [one for one in found if (one.session, one.rank) == (session, rank)]
        self.number = max((one.id for one in mine if one.status == "UP" and not one.attached), default=None)
        return self.number is not None

    def reason(self) -> str:
        """Why it is as it is, as the server says."""
        return self._call("GET", f"{self._path}/{self.number}", KernelInfo).reason

    def end(self) -> None:
        """Ask for its end; one that has ended stays as it is."""
        if self.number is not None:
            with suppress(SkynbError):  # a kernel that nobody hears of ends by its lease
                self._call("DELETE", f"{self._path}/{self.number}", KernelInfo)

    def way(self) -> Way:
        """Where a line to it begins, on a server that is started if need be."""
        card = ensure()
        address = str(card["url"]).replace("http", "ws", 1)
        headers = {"Authorization": f"token {card['token']}"}
        return Way(f"{address}{API_PREFIX}{self._path}/{self.number}/channel", headers)

    def _call(self, method: str, path: str, answer: type[T], body: Any = None) -> T:
        connection = Connection()
        try:
            return connection.call(method, path, answer, body=body)
        finally:
            connection.close()
