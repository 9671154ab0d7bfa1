"""The house as files: its root and its packages."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {
    "skynb": ROOT / "skynb",
    "skynb_agent": ROOT / "agent/skynb_agent",
    "skynb_catalog": ROOT / "catalog/skynb_catalog",
    "skynb_clusters": ROOT / "clusters/skynb_clusters",
    "skynb_jobs": ROOT / "jobs/skynb_jobs",
    "skynb_jupyter": ROOT / "jupyter_extension/skynb_jupyter",
    "skynb_magics": ROOT / "magics/skynb_magics",
    "skynb_serve": ROOT / "serve/skynb_serve",
}
# The one file that may load a pickle, opt-in and sealed for its own job, on a node: docs/decisions/0016.
UNPICKLING = {ROOT / "skynb/notebooks/node/session.py", ROOT / "skynb/kernels/node/values.py"}
