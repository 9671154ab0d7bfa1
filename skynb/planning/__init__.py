"""Which offer to take, and what else it could have been.

`plan(task)` is pure given a catalog, a date and offers; `gpus()` lists what there is. Start at `planner.py`.
"""

from __future__ import annotations

from skynb.planning.fitting import fitting
from skynb.planning.listing import GpuTable, gpus
from skynb.planning.model import Candidate, Plan, Rejection
from skynb.planning.planner import plan
from skynb.planning.this_machine import this_machine

__all__ = ["Candidate", "GpuTable", "Plan", "Rejection", "fitting", "gpus", "plan", "this_machine"]
