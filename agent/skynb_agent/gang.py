"""Decides the next step of one started job from what its ranks report. Pure.

Driven by state alone, so that a head which restarts reaches the same decision again.

    all prepared -> set up everywhere -> run everywhere -> SUCCEEDED
    any rank ends badly -> a verdict, kept for good -> the others are stopped -> the verdict's state
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional

from skynb_agent.states import ASSIGNED, ENDED, PREPARED, READY, SETTING_UP


class RankView(NamedTuple):
    """What the head knows of one rank."""

    rank: int
    stage: str
    node: int = 0
    phase: str = "run"
    exit_code: Optional[int] = None
    cause: Optional[str] = None
    message: Optional[str] = None


class Verdict(NamedTuple):
    """How a job will end once its last rank is gone. Decided once; the first cause is the reason."""

    state: str
    reason: str


class Command(NamedTuple):
    """Something to ask of one rank's node: prepare, setup, run or stop. Asking twice does no harm."""

    rank: int
    verb: str


class Step(NamedTuple):
    """The state that the job has now, and what to ask of its ranks."""

    state: str
    verdict: Optional[Verdict]
    commands: List[Command]


def decide(state: str, ranks: list[RankView], verdict: Verdict | None) -> Step:
    """The next step of a job with assigned ranks; `state` is its state now."""
    verdict = verdict or judge(ranks)
    if verdict is not None:
        return _wind_down(state, ranks, verdict)
    stages = {rank.stage for rank in ranks}
    if ASSIGNED in stages:
        return Step(state, None, [Command(r.rank, "prepare") for r in ranks if r.stage == ASSIGNED])
    if stages & {PREPARED, SETTING_UP}:
        return Step("SETTING_UP", None, [Command(r.rank, "setup") for r in ranks if r.stage == PREPARED])
    if stages == {ENDED}:
        # RUNNING comes first even when everything happened between two looks
        return Step("SUCCEEDED" if state == "RUNNING" else "RUNNING", None, [])
    return Step("RUNNING", None, [Command(r.rank, "run") for r in ranks if r.stage == READY])


def _wind_down(state: str, ranks: list[RankView], verdict: Verdict) -> Step:
    alive = [rank for rank in ranks if rank.stage != ENDED]
    if not alive:
        return Step(verdict.state, verdict, [])
    return Step(state, verdict, [Command(rank.rank, "stop") for rank in alive])


def judge(ranks: list[RankView]) -> Verdict | None:
    """The verdict that the ended ranks call for, or None while all is well; what explains the rest wins."""
    order = ("lost", "rebooted", "refused", "exit", "killed", "stopped")
    bad = [r for r in ranks if r.stage == ENDED and not (r.cause == "exit" and r.exit_code == 0)]
    if not bad:
        return None
    return _explain(min(bad, key=lambda r: (order.index(r.cause or "killed"), r.rank)))


def _explain(rank: RankView) -> Verdict:
    if rank.cause == "lost":
        return Verdict("FAILED", f"node {rank.node} was lost")
    if rank.cause == "rebooted":
        return Verdict("FAILED", "the node restarted")
    if rank.cause == "refused":
        return Verdict("FAILED_DRIVER", f"rank {rank.rank} could not be started: {rank.message}")
    if rank.cause == "stopped":
        return Verdict("FAILED", f"rank {rank.rank} was stopped on its node")
    state, what = ("FAILED_SETUP", "setup on rank") if rank.phase == "setup" else ("FAILED", "rank")
    if rank.cause == "killed":
        return Verdict(state, f"{what} {rank.rank} was killed (exit code {rank.exit_code})")
    return Verdict(state, f"{what} {rank.rank} exited with code {rank.exit_code}")
