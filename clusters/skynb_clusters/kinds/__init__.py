"""How each kind of record is looked at and acted on; what to decide is next door, in `deciders`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skynb.control.reconciler import Kind
from skynb_clusters.kinds.cluster import ClusterKind
from skynb_clusters.kinds.dask import DaskKind
from skynb_clusters.kinds.job import JobKind
from skynb_clusters.kinds.kernel import KernelKind
from skynb_clusters.kinds.node import NodeKind

if TYPE_CHECKING:
    from skynb_clusters.core import Core


def all_kinds(core: Core) -> Sequence[Kind]:
    """The kinds of this floor."""
    return (ClusterKind(core), NodeKind(core), JobKind(core), DaskKind(core), KernelKind(core))
