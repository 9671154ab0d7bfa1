"""What the server told this node before it started: R/config.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skynb_agent import files


@dataclass
class Slots:
    """What jobs may take of one node."""

    cpus: float
    gpus: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, raw: dict[str, Any]) -> Slots:
        """Slots from JSON; unknown keys are tolerated."""
        return cls(float(raw.get("cpus", 1.0)), [str(gpu) for gpu in raw.get("gpus", [])])

    def to_json(self) -> dict[str, Any]:
        """Slots as they travel."""
        return {"cpus": self.cpus, "gpus": list(self.gpus)}


@dataclass
class Config:
    """R/config.json; `raw` keeps keys of newer servers so that a rewrite loses none."""

    root: Path
    cluster: str
    cluster_id: str
    node_id: str
    rank: int
    num_nodes: int
    generation: int
    role: str
    bind: str
    head: dict[str, Any] | None
    node_ips: list[str]
    tls: dict[str, str]
    slots: Slots
    env: dict[str, str]
    home: Path
    end: dict[str, list[str]]
    lease: dict[str, Any]
    boot_id: str | None
    notices: list[str]
    raw: dict[str, Any]

    @property
    def is_head(self) -> bool:
        """True on the node that runs the queue."""
        return self.role == "head"

    def update(self, changes: dict[str, Any]) -> None:
        """Change some keys in place; they are on disk when this returns."""
        self.raw.update(changes)
        files.write_json(self.root / "config.json", self.raw)
        for key, value in changes.items():
            setattr(self, key, value)


def load(root: Path) -> Config:
    """The configuration in `root`; ValueError says which key is wrong."""
    raw = files.read_json(root / "config.json")
    if not isinstance(raw, dict):
        raise ValueError(f"{root}/config.json is missing or not an object")  # noqa: TRY004 - one error for callers
    missing = [key for key in ("cluster_id", "node_id", "rank", "role", "home") if key not in raw]
    if missing:
        raise ValueError(f"{root}/config.json lacks {', '.join(missing)}")
    return Config(
        root=root,
        cluster=str(raw.get("cluster", "")),
        cluster_id=str(raw["cluster_id"]),
        node_id=str(raw["node_id"]),
        rank=int(raw["rank"]),
        num_nodes=int(raw.get("num_nodes", 1)),
        generation=int(raw.get("generation", 1)),
        role=str(raw["role"]),
        bind=str(raw.get("bind", "127.0.0.1")),
        head=raw.get("head"),
        node_ips=list(raw.get("node_ips") or ["127.0.0.1"]),
        tls=dict(raw.get("tls") or {}),
        slots=Slots.read(raw.get("slots") or {}),
        env={str(k): str(v) for k, v in (raw.get("env") or {}).items()},
        home=Path.home() / Path(raw["home"]).expanduser(),
        end={str(k): list(v) for k, v in (raw.get("end") or {}).items() if v},
        lease=dict(raw.get("lease") or {}),
        boot_id=raw.get("boot_id"),
        notices=[str(word) for word in raw.get("notices") or []],
        raw=raw,
    )
