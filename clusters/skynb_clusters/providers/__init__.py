"""One module per kind of infra; each fulfils the Provider contract and is found as an entry point."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

from skynb_clusters.contract import Provider

GROUP = "skynb.providers"


def load_providers(home: Path) -> dict[str, Provider]:
    """Every installed provider by name. Each may keep files in its own folder below `home`."""
    return {entry.name: entry.load()(home / entry.name) for entry in entry_points(group=GROUP)}
