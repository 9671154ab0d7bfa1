"""Which offer to take, and what else it could have been.

`plan(task)` is pure given a catalog, a date and offers; `gpus()` lists what there is. Start at `planner.py`.
"""

from __future__ import annotations

from skynb.plan.listing import GpuTable, gpus
from skynb.plan.model import Candidate, Plan, Rejection
from skynb.plan.planner import plan
from skynb.plan.this_machine import this_machine

__all__ = ["Candidate", "GpuTable", "Plan", "Rejection", "gpus", "plan", "this_machine"]
