"""The two state machines as tables: jobs on the head, ranks on every node. Tests walk both completely."""

from __future__ import annotations

from skynb_agent.protocol import FINAL_STATES

JOB_MOVES: dict[str, frozenset[str]] = {
    "INIT": frozenset({"PENDING"}),
    "PENDING": frozenset({"SETTING_UP", "RUNNING", "FAILED", "FAILED_SETUP", "FAILED_DRIVER", "CANCELLED"}),
    "SETTING_UP": frozenset({"RUNNING", "FAILED", "FAILED_SETUP", "FAILED_DRIVER", "CANCELLED"}),
    "RUNNING": frozenset({"SUCCEEDED", "FAILED", "FAILED_DRIVER", "CANCELLED"}),
    **{state: frozenset() for state in FINAL_STATES},
}

# A rank only moves forward through these; ENDED is final.
ASSIGNED, PREPARED, SETTING_UP, READY, RUNNING, ENDED = (
    "ASSIGNED",
    "PREPARED",
    "SETTING_UP",
    "READY",
    "RUNNING",
    "ENDED",
)
RANK_STAGES = (ASSIGNED, PREPARED, SETTING_UP, READY, RUNNING, ENDED)

# Why a rank ended.
CAUSES = ("exit", "stopped", "killed", "rebooted", "lost", "refused")


class IllegalMoveError(RuntimeError):
    """A bug: somebody asked for a move that the table does not have."""


def move(current: str, target: str) -> str:
    """`target`, if a job may go there from `current`; IllegalMoveError otherwise."""
    if target not in JOB_MOVES[current]:
        raise IllegalMoveError(f"a job cannot go from {current} to {target}")
    return target


def forward(current: str, reported: str) -> bool:
    """Is `reported` news about a rank that was last seen `current`? Late reports are not."""
    return RANK_STAGES.index(reported) > RANK_STAGES.index(current)


def rank_state(stage: str, cause: str | None, exit_code: int | None) -> str:
    """A rank's stage in the words of JobState."""
    if stage in {ASSIGNED, PREPARED}:
        return "PENDING"
    if stage in {SETTING_UP, READY}:
        return "SETTING_UP"
    if stage == RUNNING:
        return "RUNNING"
    if cause == "stopped":
        return "CANCELLED"
    return "SUCCEEDED" if cause == "exit" and exit_code == 0 else "FAILED"
