"""Kernels as people see them."""

from __future__ import annotations

from skynb.client.listings import Listing
from skynb.client.words import ago
from skynb.wire import KernelInfo


class Kernels(Listing[KernelInfo]):
    """Kernels, oldest first."""

    head = ("CLUSTER", "ID", "NODE", "STATUS", "ATTACHED", "FOR", "STARTED")
    empty = "No kernels."

    def cells(self, item: KernelInfo, now: float) -> list[str]:
        return [
            item.cluster,
            str(item.id),
            str(item.rank),
            item.status,
            "yes" if item.attached else "no",
            item.session or "-",
            ago(item.created_at, now),
        ]

    def note(self, item: KernelInfo) -> str:
        code = "" if item.exit_code is None else f" (exit status {item.exit_code})"
        told = f"{item.reason}{code}" if item.reason else code.strip()
        return f"{item.cluster} {item.id}: {told}" if told else ""


class Specs(Listing[str]):
    """Names by which Jupyter knows kernels."""

    head = ("KERNEL",)

    def cells(self, item: str, now: float) -> list[str]:
        return [item]


class Pruned(Listing[str]):
    """What was taken away, in words."""

    head = ("GONE",)
    empty = "Nothing to take away."

    def cells(self, item: str, now: float) -> list[str]:
        return [item]
