"""The history of a cluster as sentences: why it runs, why it stopped, what was tried and refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import msgspec

from skynb.client.words import dollars, hourly, megabytes, moment, span
from skynb.tables import Paint, html_table, text_table
from skynb.wire import ClusterInfo, EventInfo

HEAD = ("AT", "WHAT HAPPENED")
_OVER = frozenset({"SUCCEEDED", "FAILED", "FAILED_SETUP", "FAILED_DRIVER", "CANCELLED"})
_CAUSES = {
    "UP": ("cluster.launch", "cluster.start.asked", "cluster.rebuilt"),
    "STOPPED": ("cluster.stop.asked", "autostop", "budget.spent", "cluster.stopped", "budget.refused"),
    "TERMINATED": ("cluster.down.asked", "autostop", "budget.spent", "launch.failed"),
}
_DEEDS = {
    "CreateMachine": "creating a machine",
    "StartMachine": "starting the machine",
    "StopMachine": "stopping the machine",
    "TerminateMachine": "ending the machine",
    "StartAgent": "starting the agent",
    "RenewLease": "renewing the lease",
    "AdjustMachine": "changing the ports of the machine, or what its own end does",
    "SubmitJob": "handing the job over",
    "CancelJob": "cancelling the job",
    "FindOffers": "looking for further offers",
    "TakeJobs": "writing down jobs that the head knows",
}


class Line(msgspec.Struct, frozen=True):
    """One event, told. small: a step on the way that explains little by itself."""

    seq: int
    at: float
    event: str
    text: str
    small: bool = False


class Story(msgspec.Struct, frozen=True):
    """Why a cluster is as it is: one sentence, and the lines that lead there, oldest first."""

    cluster: str
    status: str
    answer: str
    lines: tuple[Line, ...] = ()

    def to_text(self, paint: Paint | None = None) -> str:
        """The sentence, and a line an event."""
        return "\n".join([self.answer, "", *text_table(HEAD, self._rows(), paint)])

    def to_dict(self) -> dict[str, Any]:
        """The story in plain JSON types."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        html = f"<p>{escape(self.answer)}</p>{html_table(HEAD, self._rows())}"
        return {"text/plain": self.to_text(), "text/html": html}

    def _rows(self) -> list[list[str]]:
        return [[moment(line.at), line.text] for line in self.lines]


def story(cluster: ClusterInfo, events: Sequence[EventInfo], *, every: bool = False) -> Story:
    """Tell a cluster's history. every: the small steps, too. Pure."""
    lines = (_line(event) for event in events)
    shown = tuple(line for line in lines if every or not line.small)
    return Story(cluster.name, cluster.status, answer(cluster, events), shown)


def answer(cluster: ClusterInfo, events: Sequence[EventInfo]) -> str:
    """One sentence: why this cluster is in its state."""
    target = "TERMINATED" if cluster.status in {"FAILED", "TERMINATING"} else cluster.target
    cause = next((event for event in reversed(events) if event.name in _CAUSES.get(target, ())), None)
    parts = [f"{cluster.name} is {cluster.status}"]
    if cluster.status != cluster.target and not cluster.final:
        parts[0] += f" on its way to {cluster.target}"
    if cause is not None:
        parts.append(f"{tell(cause)} ({moment(cause.at)})")
    if target == "UP":
        parts += _keeps(cluster, events)
    if cluster.reason and cluster.reason not in " ".join(parts):
        parts.append(cluster.reason)
    return "; ".join(parts) + "."


def tell(event: EventInfo) -> str:
    """One event as a sentence without its stop. A name that this version does not know is told as it is."""
    known = _TOLD.get(event.name)
    if known is None:
        return " ".join([event.name, *(f"{key}={value}" for key, value in event.data.items())])
    text = known[1](event.data)
    node = _node(event) if known[2] else ""
    return f"{node}: {text}" if node else text


def known_events() -> frozenset[str]:
    """The names that have a sentence."""
    return frozenset(_TOLD)


def _line(event: EventInfo) -> Line:
    small = event.name in _TOLD and _TOLD[event.name][0]
    return Line(event.seq, event.at, event.name, tell(event), small)


def _keeps(cluster: ClusterInfo, events: Sequence[EventInfo]) -> list[str]:
    """What holds a cluster that should be up: its open jobs, and what will end it."""
    jobs = {}
    for event in events:
        if event.name in {"job.asked", "job.status"}:
            jobs[event.data.get("job")] = event.data.get("status")
    still = [number for number, status in jobs.items() if status not in _OVER]
    held = [f"{_count(len(still), 'job')} not over: {', '.join(map(str, still))}"] if still else []
    wish = cluster.autostop
    if wish is None or wish.idle_minutes is None:
        return [*held, "nothing ends it but a `down`, its budget or its lease"]
    verb = "ends" if wish.down else "stops"
    return [*held, f"it {verb} when nobody used it for {wish.idle_minutes:g} min"]


def _node(event: EventInfo) -> str:
    """`node 1`, from the record's name."""
    kind, _, rest = (event.record or "").partition("-")
    rank, _, lane = rest.rpartition("-")[2].partition("r")
    if kind != "node":
        return kind if kind in {"dask", "job"} else ""
    return f"node {rank} of try {int(lane) + 1}" if lane else f"node {rank}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _offer(data: Mapping[str, Any]) -> str:
    offer = data.get("offer") or {}
    place = "/".join(str(offer[part]) for part in ("cloud", "region", "zone") if offer.get(part))
    kind = f"{offer.get('instance_type', 'a machine')}{' (spot)' if offer.get('spot') else ''}"
    return f"{kind} on {place or '?'} at {hourly(int(offer.get('hourly_micro', 0)))}"


def _error(data: Mapping[str, Any]) -> str:
    error = data.get("error") or {}
    words = ": ".join(str(error[part]) for part in ("what", "why") if error.get(part))
    return words or "no reason was given"


def _launched(data: Mapping[str, Any]) -> str:
    nodes, price = _count(int(data.get("nodes", 1)), "node"), hourly(int(data.get("hourly_micro", 0)))
    return f"somebody launched it: {nodes} at {price} in all, plan {str(data.get('plan', ''))[:12]}"


def _refused(data: Mapping[str, Any]) -> str:
    disproved = (data.get("error") or {}).get("disproves")
    rest = f"; that rules out the {disproved} for a while" if disproved else ""
    return f"{_offer(data)} was refused: {_error(data)}{rest}"


def _gave_up(data: Mapping[str, Any]) -> str:
    tried = data.get("tried") or []
    last = f"; the last refusal: {_error(tried[-1])}" if tried else ""
    return f"no machines could be had after {_count(len(tried), 'refusal')}{last}"


def _waits(data: Mapping[str, Any]) -> str:
    pause = span(float(data.get("pause_s", 0)))
    return f"no machines could be had in round {data.get('round')}; again in {pause}"


def _idle(data: Mapping[str, Any]) -> str:
    verb = "down" if data.get("target") == "TERMINATED" else "stopped"
    limit = float(data.get("idle_minutes", 0))
    return (
        f"nobody used it for {span(float(data.get('idle_s', 0)))}, the limit is {limit:g} min: it is {verb}"
    )


def _wish(data: Mapping[str, Any]) -> str:
    minutes = data.get("idle_minutes")
    if minutes is None or minutes < 0:
        return "somebody turned the idle limit off"
    return f"somebody set the idle limit to {minutes:g} min{', then down' if data.get('down') else ''}"


def _stopped(data: Mapping[str, Any]) -> str:
    if data.get("by") == "request":
        return "it has stopped; its disks are kept"
    return f"it stopped without being asked: {data.get('reason') or 'stopped outside skynb'}"


def _node_stopped(data: Mapping[str, Any]) -> str:
    by = {
        "request": "stopped as asked",
        "node": "stopped itself: its lease ran out",
        "preemption": "was stopped by the infra, which took it back",
    }
    return f"machine {data.get('machine')} {by.get(str(data.get('by')), 'was stopped outside skynb')}"


def _job(data: Mapping[str, Any]) -> str:
    reason = f": {data['reason']}" if data.get("reason") else ""
    return f"job {data.get('job')} is {data.get('status')}{reason}"


def _laid(data: Mapping[str, Any]) -> str:
    nodes, files = _count(int(data.get("nodes", 1)), "node"), _count(int(data.get("files", 0)), "file")
    took = f"{float(data.get('sent', 0)) / 1e6:,.1f} MB were sent in {data.get('seconds')} s"
    return f"job {data.get('job')} has its {files} on {nodes}: {took}"


def _broke(data: Mapping[str, Any]) -> str:
    deed = _DEEDS.get(str(data.get("effect")), str(data.get("effect")))
    return f"{deed} went wrong: {_error(data)}"


def _notice(data: Mapping[str, Any]) -> str:
    kind, at = str(data.get("kind")), float(data.get("at") or 0)
    when = f" at {time.strftime('%H:%M:%S', time.localtime(at))}" if at else ""
    words = {"preemption": "will be taken back", "rebalance": "is likely to be taken back"}
    return f"the infra announced that machine {data.get('machine')} {words.get(kind, kind)}{when}"


def _spent(data: Mapping[str, Any]) -> str:
    end = "is stopped" if data.get("target") == "STOPPED" else "ends"
    return (
        f"the budget is used up, {dollars(int(data.get('free_micro') or 0))} is left: it {end} while paid for"
    )


def _ended(data: Mapping[str, Any]) -> str:
    gone = "every machine was seen gone, twice"
    return f"the launch is over and failed; {gone}" if data.get("failed") else f"it is over; {gone}"


def _nodes(data: Mapping[str, Any]) -> str:
    ranks = [str(rank) for rank in data.get("nodes", ())]
    return f"node{'s' if len(ranks) > 1 else ''} {', '.join(ranks)}"


def _machine(words: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda data: words.format(f"machine {data['machine']}" if data.get("machine") else "its machine")


def _plain(words: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda data: words.format_map(_Given(data))


class _Given(dict[str, Any]):
    """An older event may lack what a newer one says."""

    def __missing__(self, key: str) -> str:
        return "?"


# Of each event: is it small, its words, and whether they begin with the node.
_TOLD: dict[str, tuple[bool, Callable[[Mapping[str, Any]], str], bool]] = {
    "cluster.launch": (False, _launched, False),
    "launch.try": (False, lambda data: f"tried {_offer(data)}, attempt {data.get('attempt', 1)}", False),
    "launch.refused": (False, _refused, False),
    "launch.won": (False, lambda data: f"{_offer(data)} came first and is kept; the others end", False),
    "launch.waiting": (False, _waits, False),
    "launch.failed": (False, _gave_up, False),
    "cluster.rebuilt": (
        False,
        lambda data: (
            f"{data.get('by')} had it written again from {_count(len(data.get('machines', ())), 'machine')}"
        ),
        False,
    ),
    "nodes.more": (False, lambda data: f"asked for extra {_nodes(data)}", False),
    "nodes.refused": (
        False,
        lambda data: f"extra {_nodes(data)} could not be had: {_error(data)}; asked for again later",
        False,
    ),
    "cluster.up": (False, _plain("it is up: every node's agent answered"), False),
    "cluster.hurt": (
        False,
        lambda data: f"it is not whole: node {', '.join(map(str, data.get('nodes', ())))} is missing",
        False,
    ),
    "cluster.stop.asked": (False, _plain("somebody asked to stop it"), False),
    "cluster.start.asked": (False, _plain("somebody asked to start it"), False),
    "cluster.down.asked": (False, _plain("somebody asked to take it down"), False),
    "cluster.stop": (True, _plain("jobs are cancelled and logs brought home, then it stops"), False),
    "cluster.stopped": (False, _stopped, False),
    "cluster.down": (True, _plain("jobs are cancelled and logs brought home, then machines end"), False),
    "cluster.ended": (False, _ended, False),
    "autostop": (False, _idle, False),
    "autostop.asked": (False, _wish, False),
    "budget.spent": (False, _spent, True),
    "budget.refused": (
        False,
        lambda data: f"not started: the budget leaves {dollars(int(data.get('free_micro') or 0))}",
        True,
    ),
    "budget.set": (False, _plain("{by} set the cap of {account} to {cap_micro} micro-dollars"), False),
    "node.create": (True, lambda data: f"asked for {_offer(data)}", True),
    "node.created": (True, _machine("{} is there"), True),
    "node.failed": (False, lambda data: f"failed: {_error(data)}", True),
    "node.up": (True, _machine("the agent of {} answered"), True),
    "node.notice": (False, _notice, True),
    "node.lost": (False, _machine("{} was seen absent twice and is lost; nothing is rented unasked"), True),
    "node.stop": (True, _machine("stopping {}"), True),
    "node.stopped": (False, _node_stopped, True),
    "node.start": (True, _machine("starting {} again"), True),
    "node.end": (True, _machine("ending {}"), True),
    "node.ended": (True, _machine("{} was seen gone twice, a consistency window apart"), True),
    "machine.reaped": (
        False,
        lambda data: (
            f"{data.get('by')} ended machine {data.get('machine')}, which nobody claimed: {data.get('why')}"
        ),
        True,
    ),
    "agent.silent": (False, _machine("the agent of {} does not answer; it is started again"), True),
    "effect.failed": (False, _broke, True),
    "job.found": (False, _plain("the head told of job {job}, which the ledger did not have"), False),
    "job.asked": (False, _plain("somebody asked for job {job}"), False),
    "job.submit": (True, _plain("job {job} was handed to the head node"), False),
    "files.going": (
        True,
        lambda data: f"{megabytes(data.get('sent', 0), data.get('of', 0))} of files sent",
        False,
    ),
    "files.laid": (False, _laid, False),
    "job.status": (False, _job, False),
    "job.cancel.asked": (False, _plain("somebody asked to cancel job {job}"), False),
    "dask.asked": (False, _plain("somebody asked for Dask with {workers} workers"), False),
    "dask.scale.asked": (False, _plain("somebody asked for {workers} Dask workers"), False),
    "dask.up": (False, _plain("Dask is up with {workers} workers"), False),
    "dask.restart": (
        False,
        lambda data: f"{', '.join(data.get('services', ()))} of Dask ended and is started again",
        False,
    ),
    "dask.unused": (False, _plain("nobody used Dask: it ends"), False),
    "dask.ended": (False, _plain("Dask has ended"), False),
    "kernel.asked": (False, _plain("somebody asked for kernel {kernel}"), False),
    "kernel.up": (False, _plain("kernel {kernel} was started"), False),
    "kernel.ended": (
        False,
        lambda data: (
            f"kernel {data.get('kernel')} has ended" + (f": {why}" if (why := data.get("why")) else "")
        ),
        False,
    ),
    "pool.asked": (
        False,
        _plain("version {version} of the pool was asked for, {least} to {most} workers"),
        False,
    ),
    "pool.down.asked": (False, _plain("somebody took the pool down"), False),
    "pool.scaled": (False, _plain("{workers} workers are wanted, {waiting} tasks wait"), False),
    "pool.rent": (False, _plain("machines are asked for, worker {worker}"), False),
    "pool.ready": (False, _plain("worker {worker} is ready"), False),
    "pool.lent": (True, _plain("worker {worker} is lent to {task}"), False),
    "pool.over": (False, _plain("worker {worker} goes: {why}"), False),
}
