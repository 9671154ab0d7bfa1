"""The terminal's face: text to standard output, remarks to standard error, and exit codes.

Job commands exit with 0 succeeded, 100 failed, 101 not finished, 102 not found, 103 cancelled. Leaving a
followed log with Ctrl-C touches nothing that runs and exits with 0. Other errors exit with 1, wrong usage
with 2.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from skynb.errors import NotFoundError, SkynbError

if TYPE_CHECKING:
    from skynb.client.launch import Launch

JOB_EXIT_CODES = {"SUCCEEDED": 0, "CANCELLED": 103}
FAILED, NOT_FINISHED, NOT_FOUND = 100, 101, 102
JOB_COMMANDS = {"logs"}  # where something that is not there is 102
_COLOURS = {
    "UP": "green",
    "RUNNING": "green",
    "SUCCEEDED": "green",
    "enabled": "green",
    "FAILED": "red",
    "FAILED_SETUP": "red",
    "FAILED_DRIVER": "red",
    "disabled": "red",
    "CANCELLED": "yellow",
    "STOPPED": "yellow",
}


def run(args: Sequence[str]) -> int:
    """Run one command line; its exit code."""
    from skynb.cli.tree import tree

    face = Terminal()
    try:
        return _run(tree, args, face)
    except BrokenPipeError:  # whoever read our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(tree: click.Group, args: Sequence[str], face: Terminal) -> int:
    command = next((word for word in args if not word.startswith("-")), "")
    try:
        value = tree.main(args=list(args), prog_name="skynb", standalone_mode=False, obj=face)
        if isinstance(value, int):  # click's way to say that --help and the like were all
            return value
        face.show(value)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as end:
        if isinstance(end.__cause__, KeyboardInterrupt):
            click.echo("Interrupted. What was asked for goes on; `skynb status` shows it.", err=True)
            return 130
        click.echo("Aborted.", err=True)
        return 1
    except SkynbError as error:
        click.echo(f"Error: {error}", err=True)
        return NOT_FOUND if isinstance(error, NotFoundError) and command in JOB_COMMANDS else 1
    return face.exit_code


class Terminal:
    """See `Face`."""

    body: str | None = None

    def __init__(self) -> None:
        self.output = "table"
        self.exit_code = 0
        self._followed: Any = None
        self._drawn = 0

    def asks(self) -> bool:
        return sys.stdin.isatty() and sys.stdout.isatty()

    def confirm(self, question: str) -> None:
        if self.asks():
            click.confirm(question, abort=True)

    def previews(self) -> bool:
        return False

    def announce(self, lines: list[str]) -> None:
        for line in lines:
            self.say(line)

    def say(self, text: str) -> None:
        click.echo(text, err=True)

    def show(self, value: Any) -> None:
        if value is None:
            return
        if self.output == "json":
            from skynb.cli.plainly import plainly

            click.echo(json.dumps(plainly(value), indent=2))
        elif value is not self._followed:
            paint = _paint if sys.stdout.isatty() and "NO_COLOR" not in os.environ else None
            click.echo(value.to_text(paint) if hasattr(value, "to_text") else str(value))

    def lines(self, lines: Iterator[str], ways_on: str) -> bool:
        try:
            for line in lines:
                click.echo(line)
        except KeyboardInterrupt:
            self.say(f"\nDetached, nothing was cancelled. To go on: {ways_on}")
            return False
        return True

    def names(self) -> dict[str, Any] | None:
        return None

    def emit(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "stream":
            click.echo(content["text"], nl=False, err=content["name"] == "stderr")
        elif kind == "error":
            click.echo("\n".join(content["traceback"]), err=True)
        elif text := content.get("data", {}).get("text/plain"):
            click.echo(text)

    def run(self, argv: Sequence[str]) -> None:
        import subprocess

        self.exit_code = subprocess.call(list(argv))

    def redraw(self, lines: list[str]) -> None:
        if not sys.stderr.isatty():
            return
        width = shutil.get_terminal_size().columns - 1  # a line that wraps could not be drawn over
        up = f"\x1b[{self._drawn}F" if self._drawn else ""
        click.echo(up + "".join(f"\x1b[K{line[:width]}\n" for line in lines), err=True, nl=False)
        self._drawn = len(lines)

    def follow(self, handle: Launch) -> None:
        self._followed = handle
        began = time.monotonic()
        try:
            job = self._follow(handle, began)
        except KeyboardInterrupt:
            self.say(f"\nDetached, the work goes on. To {handle.ways_on()}")
            return
        from skynb.client.words import clock

        if job is None:
            self.say(f"Cluster {handle.cluster} is {handle.status()}. To {handle.ways_on()}")
            return
        self.ended(job.status, final=job.final)
        reason = f" ({job.reason})" if job.reason else ""
        took = clock(time.monotonic() - began)
        self.say(f"Job {job.id} on {handle.cluster} {job.status}{reason} after {took}.")

    def insist(self, result: Callable[[], Any]) -> None:
        """The exit code says it here."""

    def ended(self, status: str, *, final: bool) -> None:
        self.exit_code = JOB_EXIT_CODES.get(status, FAILED) if final else NOT_FINISHED

    def _follow(self, handle: Launch, began: float) -> Any:
        from skynb.client.follow import Change, End
        from skynb.client.logs import Lines
        from skynb.client.words import clock

        lines = Lines(handle.num_nodes)
        to_stderr = self.output == "json"
        with handle.follow() as updates:
            for update in updates:
                if isinstance(update, End):
                    for line in lines.partial():
                        click.echo(line, err=to_stderr)
                    return update.job or handle.wait()
                if isinstance(update, Change):
                    click.secho(f"[{clock(time.monotonic() - began)}] {update.text}", dim=True, err=True)
                elif update is not None and handle.num_nodes == 1:  # a progress bar has no line ends
                    click.echo(update.text, nl=False, err=to_stderr)
                elif update is not None:
                    for line in lines.feed(update):
                        click.echo(line, err=to_stderr)
        return None


def _paint(column: str, cell: str) -> str:
    colour = _COLOURS.get(cell.strip()) if column == "STATUS" else None
    return click.style(cell, fg=colour) if colour else cell
