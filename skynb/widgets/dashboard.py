"""The widgets together, served on loopback behind a password."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import panel as pn

from skynb import widgets

LOGIN = Path(__file__).with_name("login.html")  # Panel's own asks another host for its picture


def page() -> pn.Tabs:
    """What every visitor gets, each their own."""
    return pn.Tabs(
        ("Clusters", widgets.clusters()),
        ("Jobs", widgets.jobs()),
        ("Costs", widgets.costs()),
        ("Accelerators", widgets.gpus()),
        sizing_mode="stretch_width",
    )


def serve(port: int, password: str, *, show: bool) -> Any:
    """Serve until ended; returns the server, which is yet to run. port: 0 takes a free one."""
    return pn.serve(
        page,
        address="127.0.0.1",
        port=port,
        title="skynb",
        basic_auth=password,
        basic_login_template=str(LOGIN),
        cookie_secret=secrets.token_hex(32),
        show=show,
        start=False,
        verbose=False,
    )
