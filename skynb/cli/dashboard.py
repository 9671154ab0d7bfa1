"""dashboard: the widgets as a page."""

from __future__ import annotations

import secrets

import click

from skynb.cli import options
from skynb.cli.face import face
from skynb.errors import UnsupportedError


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="On loopback; 0 takes a free one.")
@click.option("--open/--no-open", "show", default=False, help="Open it in a browser.")
@options.output
def dashboard(port: int, show: bool) -> None:
    """Serve clusters, jobs, costs and prices as a page with plots, on loopback, behind a password.

    The password is shown here, once; any name goes with it. Ctrl-C ends it; nothing else ends with it.
    """
    here = face()
    if here.previews():
        raise click.UsageError("a page is served from a terminal; in a notebook use skynb.widgets")
    try:
        from skynb.widgets.dashboard import serve
    except ImportError:
        raise UnsupportedError("a dashboard needs Panel", mend="pip install 'skynb[panel]'") from None

    password = secrets.token_urlsafe(12)
    server = serve(port, password, show=show)
    here.say(f"http://127.0.0.1:{server.port}  password: {password}")
    server.run_until_shutdown()
