"""What a job sees: its variables, SkyPilot's and ours. Pure; nothing of the agent's own leaks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, Tuple

from skynb_agent import hosts
from skynb_agent.queue import whole

if TYPE_CHECKING:
    from skynb_agent.config import Config

INHERITED = ("PATH", "LANG", "TZ")
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Place(NamedTuple):
    """Where one rank sits: its number, its peers' addresses by rank, and its GPUs."""

    rank: int
    ips: Tuple[str, ...]
    gpus: Tuple[str, ...]


def base(config: Config, own: dict[str, str]) -> dict[str, str]:
    """What jobs and services share; `own` is the agent's environment, of which three variables pass."""
    env = {key: own[key] for key in INHERITED if key in own}
    env.setdefault("PATH", DEFAULT_PATH)
    env["HOME"] = str(config.home)
    env["PYTHONUNBUFFERED"] = "1"  # output goes to a file, and its readers wait for it
    env.update(config.env)
    return env


def for_phase(
    config: Config, own: dict[str, str], job: dict[str, Any], place: Place, phase: str
) -> dict[str, str]:
    """The environment of one phase (`setup` or `run`) of one rank."""
    env = base(config, own)
    env.update({str(k): str(v) for k, v in (job.get("env") or {}).items()})
    env.update({str(k): str(v) for k, v in (job.get("secret_env") or {}).items()})
    facts = _facts(config, job, place)
    prefix = "SETUP_" if phase == "setup" else ""
    for name in ("NODE_RANK", "NODE_IPS", "NUM_GPUS_PER_NODE"):
        facts[prefix + name] = facts.pop(name)
    for name, value in facts.items():
        env[f"SKYPILOT_{name}"] = env[f"SKYNB_{name}"] = value
    env["SKYNB_HOSTS"] = str(config.root / hosts.FILE)
    info = config.env.get("SKYPILOT_CLUSTER_INFO") or json.dumps(
        {"cluster_name": config.cluster, "cluster_id": config.cluster_id, "num_nodes": config.num_nodes}
    )
    env["SKYPILOT_CLUSTER_INFO"] = env["SKYNB_CLUSTER_INFO"] = info
    if job.get("user"):
        env["USER"] = env.get("USER") or str(job["user"])
        env["SKYPILOT_USER"] = env["SKYNB_USER"] = str(job["user"])
    if place.gpus:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(place.gpus)
    return env


def _facts(config: Config, job: dict[str, Any], place: Place) -> dict[str, str]:
    return {
        "NODE_RANK": str(place.rank),
        "NODE_IPS": "\n".join(place.ips),
        "NUM_NODES": str(job.get("num_nodes", 1)),
        "NUM_GPUS_PER_NODE": str(whole(float(job.get("gpus_per_node") or 0))),
        "TASK_ID": str(job.get("task_id") or f"skynb-{config.cluster}-{job['id']}"),
        "INTERNAL_JOB_ID": str(job["id"]),
    }


def markers(config: Config, label: str) -> dict[str, str]:
    """The variables by which every descendant of one rank is found again."""
    return {"SKYNB_NODE_ID": config.node_id, "SKYNB_JOB": f"{config.cluster_id}/{label}"}
