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


def ours(home: str) -> Iterator[Path]:
    """The folders that the server of this home wrote."""
    for path in sorted(folder().glob(f"{PREFIX}*")):
        try:
            made = json.loads((path / "kernel.json").read_text())["metadata"]["skynb"]["home"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if made == home:
            yield path


def sync(home: str, clusters: Sequence[ClusterInfo]) -> list[str]:
    """Have a folder for each of these clusters that is up and no others; the names of those that went."""
    gone = []
    wanted = {f"{PREFIX}{one.name}".lower(): spec(home, one) for one in clusters if one.status == "UP"}
    for path in ours(home):
        if path.name not in wanted:
            shutil.rmtree(path, ignore_errors=True)
            gone.append(path.name)
    for name, content in wanted.items():
        file = folder() / name / "kernel.json"
        text = json.dumps(content, indent=1)
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(".tmp")
            temporary.write_text(text)
            temporary.replace(file)
    return gone


def spec(home: str, cluster: ClusterInfo) -> dict[str, Any]:
    """What a kernelspec says of a cluster."""
    return {
        "argv": ["skynb-kernel"],
        "display_name": title(cluster),
        "language": "python",
        "interrupt_mode": "message",
        "metadata": {
            "debugger": True,
            "kernel_provisioner": {
                "provisioner_name": "skynb-provisioner",
                "config": {"cluster": cluster.name},
            },
            "skynb": {"home": home, "cluster": cluster.name},
        },
    }


def title(cluster: ClusterInfo) -> str:
    """`Python (train · 8×A100)`."""
    kind, _, count = cluster.accelerators.partition(":")
    machine = f"{count}×{kind}" if kind else cluster.instance_type or cluster.infra
    return f"Python ({cluster.name} · {machine})"
