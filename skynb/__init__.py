"""Rent, use and give back machines on any cloud without leaving the notebook.

The names below resolve on first use, so that `import skynb` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skynb._version import __version__

if TYPE_CHECKING:
    from skynb import jobs as jobs
    from skynb import kernels as kernels
    from skynb import widgets as widgets
    from skynb.client.launch import Launch as Launch
    from skynb.client.sdk import autostop as autostop
    from skynb.client.sdk import budgets as budgets
    from skynb.client.sdk import cancel as cancel
    from skynb.client.sdk import check as check
    from skynb.client.sdk import cost_report as cost_report
    from skynb.client.sdk import down as down
    from skynb.client.sdk import events as events
    from skynb.client.sdk import exec as exec  # noqa: A004 - SkyPilot's name
    from skynb.client.sdk import forgotten as forgotten
    from skynb.client.sdk import gpus as gpus
    from skynb.client.sdk import job_status as job_status
    from skynb.client.sdk import launch as launch
    from skynb.client.sdk import plan as plan
    from skynb.client.sdk import queue as queue
    from skynb.client.sdk import reap as reap
    from skynb.client.sdk import rebuild as rebuild
    from skynb.client.sdk import set_budget as set_budget
    from skynb.client.sdk import spend as spend
    from skynb.client.sdk import ssh_entries as ssh_entries
    from skynb.client.sdk import start as start
    from skynb.client.sdk import status as status
    from skynb.client.sdk import stop as stop
    from skynb.client.sdk import tail_logs as tail_logs
    from skynb.client.sdk import what_if as what_if
    from skynb.client.sdk import why as why
    from skynb.client.sdk import why_cluster as why_cluster
    from skynb.dask.cluster import SkyCluster as SkyCluster
    from skynb.errors import JobFailed as JobFailed
    from skynb.errors import SkynbError as SkynbError
    from skynb.errors import SpecError as SpecError
    from skynb.spec import Dag as Dag
    from skynb.spec import Resources as Resources
    from skynb.spec import Service as Service
    from skynb.spec import Storage as Storage
    from skynb.spec import Task as Task
    from skynb.spec import Volume as Volume
    from skynb.spec import load_dag as load_dag

_HOMES = {
    "Dag": "skynb.spec",
    "JobFailed": "skynb.errors",
    "Launch": "skynb.client.launch",
    "Resources": "skynb.spec",
    "Service": "skynb.spec",
    "SkyCluster": "skynb.dask.cluster",
    "SkynbError": "skynb.errors",
    "SpecError": "skynb.errors",
    "Storage": "skynb.spec",
    "Task": "skynb.spec",
    "Volume": "skynb.spec",
    "autostop": "skynb.client.sdk",
    "cancel": "skynb.client.sdk",
    "check": "skynb.client.sdk",
    "budgets": "skynb.client.sdk",
    "cost_report": "skynb.client.sdk",
    "set_budget": "skynb.client.sdk",
    "down": "skynb.client.sdk",
    "events": "skynb.client.sdk",
    "exec": "skynb.client.sdk",
    "forgotten": "skynb.client.sdk",
    "gpus": "skynb.client.sdk",
    "job_status": "skynb.client.sdk",
    "launch": "skynb.client.sdk",
    "load_dag": "skynb.spec",
    "plan": "skynb.client.sdk",
    "queue": "skynb.client.sdk",
    "reap": "skynb.client.sdk",
    "rebuild": "skynb.client.sdk",
    "spend": "skynb.client.sdk",
    "ssh_entries": "skynb.client.sdk",
    "start": "skynb.client.sdk",
    "status": "skynb.client.sdk",
    "stop": "skynb.client.sdk",
    "tail_logs": "skynb.client.sdk",
    "what_if": "skynb.client.sdk",
    "why": "skynb.client.sdk",
    "why_cluster": "skynb.client.sdk",
}

_MODULES = ("jobs", "kernels", "nb", "widgets")

__all__ = ["__version__", *sorted((*_HOMES, *_MODULES))]  # noqa: PLE0604 - the keys are strings


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"skynb.{name}")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'skynb' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext skynb`: IPython calls this once; the magics live a floor above and are found by name."""
    import_module("skynb_magics").load_ipython_extension(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext skynb`."""
    import_module("skynb_magics").unload_ipython_extension(shell)
