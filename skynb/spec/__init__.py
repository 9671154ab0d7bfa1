"""The task spec: what a person asks for, in SkyPilot's YAML or in Python.

Start reading at `records.py` (objects as tables of fields) and `checks.py` (parsers that know the path
of what they parse); `task.py`, `resources.py`, `service.py`, `storage.py` and `overrides.py` are such
tables, `values.py`, `infra.py`, `accelerators.py`, `policies.py` and `secrets.py` the notations inside
them, `dag.py` and `documents.py` the files around them. `executed.py` lists what the server carries out.

Whatever comes in, only `skynb.errors.SpecError` comes out.
"""

from __future__ import annotations

from skynb.spec.accelerators import Accelerator
from skynb.spec.dag import Dag, load_dag
from skynb.spec.executed import unexecuted_fields
from skynb.spec.infra import Infra
from skynb.spec.overrides import Hook, Overrides
from skynb.spec.policies import Autostop, JobRecovery
from skynb.spec.resources import Resources
from skynb.spec.secrets import Secret, Secrets
from skynb.spec.service import Pool, Service
from skynb.spec.storage import Storage, Volume
from skynb.spec.task import Task
from skynb.spec.values import Quantity

__all__ = [
    "Accelerator",
    "Autostop",
    "Dag",
    "Hook",
    "Infra",
    "JobRecovery",
    "Overrides",
    "Pool",
    "Quantity",
    "Resources",
    "Secret",
    "Secrets",
    "Service",
    "Storage",
    "Task",
    "Volume",
    "load_dag",
    "unexecuted_fields",
]
