"""The API server, as a Jupyter server extension; `python -m skynb_jupyter` is the daemon."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """What a person's own Jupyter server loads: the door. The daemon loads `skynb_jupyter.app`."""
    return [{"module": "skynb_jupyter.door"}]
