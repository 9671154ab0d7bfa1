"""Services and pools: replicas behind an endpoint, and workers kept warm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from skynb.spec.accelerators import Accelerator
from skynb.spec.checks import (
    below,
    boolean,
    choice,
    either,
    fail,
    filled,
    integer,
    map_of,
    matching,
    number,
    open_mapping,
    show,
    text,
)
from skynb.spec.records import Field, Record
from skynb.spec.values import port_number

_INSTANCE_AWARE = "instance_aware_least_load"


def _accelerator(value: Any, where: str) -> str:
    Accelerator.parse(value, where)
    return str(value)


def _post_data(value: Any, where: str) -> Any:
    if not isinstance(value, str):
        return open_mapping(value, where)
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        invalid = True
    else:
        invalid = False
    if invalid:
        fail(where, "the text is not JSON", mend="Write an object, or JSON within single quotes")
    return str(value)


_targets = either(Mapping, map_of(_accelerator, number(above=0)), number(above=0))
_at_least_0 = integer(0)


class ReadinessProbe(Record):
    """What says that a replica is ready: GET `path`, or POST where `post_data` is given. Seconds."""

    path = Field(matching(r"/\S*", "a path", mend="Begin it with `/`"), "/", required=True)
    initial_delay_seconds = Field(number(0), 1200)
    timeout_seconds = Field(number(0), 15)
    endpoint_probe_interval_seconds = Field(number(0), 10)
    consecutive_failure_threshold_timeout = Field(number(0), 180)
    post_data = Field(_post_data)
    headers = Field(map_of(text, text), cast("Mapping[str, str]", {}))

    @classmethod
    def _longhand(cls, value: Any, where: str) -> Any:  # noqa: ARG003 - as above it
        return {"path": value} if isinstance(value, str) else value


class ReplicaPolicy(Record):
    """How many replicas there are, and what makes them more or fewer."""

    min_replicas = Field(_at_least_0, 1, required=True)
    max_replicas = Field(_at_least_0)
    num_overprovision = Field(_at_least_0)
    target_qps_per_replica = Field(_targets)
    dynamic_ondemand_fallback = Field(boolean, default=False)
    base_ondemand_fallback_replicas = Field(_at_least_0)
    spot_placer = Field(choice("dynamic_fallback"))
    upscale_delay_seconds = Field(number(0), 300)
    downscale_delay_seconds = Field(number(0), 1200)

    def _check(self, where: str) -> None:
        least, most = self.min_replicas, self.max_replicas
        if most is not None and most < least:
            what = f"{most} is less than `min_replicas`, {least}"
            fail(below(where, "max_replicas"), what, mend=f"Write at least {least}")
        if self.target_qps_per_replica is not None and most is None:
            fail(
                below(where, "target_qps_per_replica"),
                "a target needs `max_replicas`",
                mend="Add `max_replicas`",
            )
        if most is not None and most != least and self.target_qps_per_replica is None:
            mend = "Add `target_qps_per_replica`, or make both numbers equal"
            fail(below(where, "max_replicas"), "a range of replicas needs a target", mend=mend)


class LoadBalancer(Record):
    """How requests are passed on. Seconds."""

    stream_timeout_seconds = Field(number(0), 120)


class Tls(Record):
    """The endpoint's key and certificate, as local files."""

    keyfile = Field(filled, required=True)
    certfile = Field(filled, required=True)


class Pool(Record):
    """Warm workers for managed jobs: a fixed number, or a range that the queue's length moves. Seconds."""

    ROOT = "pool"
    workers = Field(_at_least_0)
    min_workers = Field(_at_least_0)
    max_workers = Field(_at_least_0)
    queue_length_threshold = Field(integer(1))
    upscale_delay_seconds = Field(number(0))
    downscale_delay_seconds = Field(number(0))

    def _check(self, where: str) -> None:
        ranged = [key for key in ("min_workers", "max_workers") if self.is_given(key)]
        if self.workers is not None and ranged:
            fail(
                below(where, ranged[0]), f"`{ranged[0]}` does not go with `workers`", mend="Keep one of them"
            )
        for key in ("min_workers", "queue_length_threshold"):
            if self.is_given(key) and self.max_workers is None:
                fail(below(where, key), f"`{key}` needs `max_workers`", mend="Add `max_workers`")
        if self.max_workers is not None and self.min_workers is None:
            fail(below(where, "max_workers"), "`max_workers` needs `min_workers`", mend="Add `min_workers`")
        if self.workers is None and not ranged:
            fail(
                where,
                "the number of workers is missing",
                mend="Write `workers`, or `min_workers` and `max_workers`",
            )
        if self.max_workers is not None and self.max_workers < (self.min_workers or 0):
            what = f"{self.max_workers} is less than `min_workers`, {self.min_workers}"
            fail(below(where, "max_workers"), what, mend=f"Write at least {self.min_workers}")


class Service(Record):
    """Replicas of the task behind one endpoint."""

    ROOT = "service"
    readiness_probe = Field(ReadinessProbe.parse)
    replicas = Field(_at_least_0, 1)
    replica_policy = Field(ReplicaPolicy.parse)
    target_qps_per_replica = Field(_targets)
    ports = Field(port_number)
    load_balancing_policy = Field(choice("round_robin", "least_load", _INSTANCE_AWARE), "least_load")
    load_balancer = Field(LoadBalancer.parse)
    tls = Field(Tls.parse)
    workers = Field(_at_least_0)
    pool = Field(Pool.parse)

    def _check(self, where: str) -> None:
        for other in ("replica_policy", "workers"):
            if self.is_given("replicas") and self.is_given(other):
                mend = "Write the number as `min_replicas` there, or keep `replicas` alone"
                fail(below(where, "replicas"), f"`replicas` does not go with `{other}`", mend=mend)
        if self.workers is not None or self.pool:
            clash = next((key for key in ("replicas", "replica_policy") if self.is_given(key)), None)
            if clash:
                fail(
                    below(where, clash),
                    f"`{clash}` does not go with a pool of workers",
                    mend="Write `workers`",
                )
        self._check_targets(where)

    def _check_targets(self, where: str) -> None:
        policy = self.replica_policy
        inner = policy.target_qps_per_replica if policy else None
        path = "replica_policy.target_qps_per_replica" if inner is not None else "target_qps_per_replica"
        mapped = isinstance(self.target_qps_per_replica if inner is None else inner, Mapping)
        aware = self.load_balancing_policy == _INSTANCE_AWARE
        if mapped and not aware:
            mend = f"Set `load_balancing_policy: {_INSTANCE_AWARE}`, or give one number"
            fail(f"{where}.{path}", f"targets by accelerator need {show(_INSTANCE_AWARE)}", mend=mend)
        if aware and not mapped:
            mend = "Write `target_qps_per_replica: {H100: 2, A100: 1}`"
            fail(f"{where}.load_balancing_policy", "this policy needs targets by accelerator", mend=mend)
