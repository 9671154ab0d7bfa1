"""The API server, as a Jupyter server extension; `python -m skynb_jupyter` is the daemon."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    """Jupyter Server asks here which app to load; the import waits until then."""
    from skynb_jupyter.app import SkynbApp

    return [{"module": "skynb_jupyter", "app": SkynbApp}]
