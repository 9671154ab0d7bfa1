"""The kinds of record that this floor gives the control core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skynb_clusters.requests import Desk
from skynb_jobs.kinds import ManagedKind, TaskKind
from skynb_jobs.pools import PoolKind

if TYPE_CHECKING:
    from skynb.control.reconciler import Kind
    from skynb.wire import LeaseInfo
    from skynb_clusters.core import Core


def managed_kinds(core: Core, lease: LeaseInfo) -> Sequence[Kind]:
    """Managed jobs, their tasks, and pools of workers."""
    desk = Desk(core, lease)
    return (ManagedKind(core, desk), TaskKind(core, desk), PoolKind(core, desk))
