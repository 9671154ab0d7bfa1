"""Kernelspecs: a folder for each cluster that is up, which every Jupyter program of this user finds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from skynb.wire import ClusterInfo

PREFIX = "skynb-"


def folder() -> Path:
    """Where this user's kernelspecs are."""
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "kernels"


def ours(home: str) -> Iterator[tuple[Path, str]]:
    """The folders that the server of this home wrote, and the cluster of each."""
    for path in sorted(folder().glob(f"{PREFIX}*")):
        try:
            made = json.loads((path / "kernel.json").read_text())["metadata"]["skynb"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if made.get("home") == home:
            yield path, str(made.get("cluster"))


def sync(home: str, clusters: Sequence[ClusterInfo]) -> list[str]:
    """Have folders for those of these clusters that are up, and no others; the names of those that went."""
    up = {one.name: one for one in clusters if one.status == "UP"}
    gone = [path for path, cluster in ours(home) if cluster not in up]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    for cluster in up.values():
        write(f"{PREFIX}{cluster.name}".lower(), spec(home, cluster))
    return [path.name for path in gone]


def write(name: str, content: dict[str, Any]) -> None:
    """One folder, unless it says that already."""
    file, text = folder() / name / "kernel.json", json.dumps(content, indent=1)
    if file.exists() and file.read_text() == text:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".tmp")
    temporary.write_text(text)
    temporary.replace(file)


def spec(home: str, cluster: ClusterInfo, what: str = "Python", **config: Any) -> dict[str, Any]:
    """What a kernelspec says of a cluster. what: its own name. config: more for its provisioner."""
    return {
        "argv": ["skynb-kernel"],
        "display_name": f"{what} ({title(cluster)})",
        "language": "python",
        "interrupt_mode": "message",
        "metadata": {
            "kernel_provisioner": {
                "provisioner_name": "skynb-provisioner",
                "config": {"cluster": cluster.name, **config},
            },
            "skynb": {"home": home, "cluster": cluster.name},
        },
    }


def title(cluster: ClusterInfo) -> str:
    """`train · 8×A100`."""
    kind, _, count = cluster.accelerators.partition(":")
    machine = f"{count}×{kind}" if kind else cluster.instance_type or cluster.infra
    return f"{cluster.name} · {machine}"
