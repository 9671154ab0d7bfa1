"""The click tree in a notebook: the cell is the task, mistakes are one line, interrupting is leaving."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import click

from skynb.cli.plainly import plainly
from skynb.cli.terminal import Terminal
from skynb.cli.tree import tree

if TYPE_CHECKING:
    from skynb.client.launch import Launch

TAKE_A_CELL = ("launch", "exec", "plan", "run", "jobs launch", "jobs pool apply")
_ELSEWHERE = "application/vnd.jupyter.widget-view+json"  # what it shows lives in the other kernel


def run(shell: Any, line: str, body: str | None) -> Any:
    """One magic: the command's object. UsageError for a wrong line, SkynbError for what cannot be done."""
    from IPython.core.error import UsageError

    try:
        words = shlex.split(line) or ["--help"]
    except ValueError as error:
        raise UsageError(f"%sky: {error}") from None
    if body is not None and not {" ".join(words[:count]) for count in (1, 2, 3)} & set(TAKE_A_CELL):
        raise UsageError(f"%%sky {words[0]}: a cell goes with {', '.join(TAKE_A_CELL)}; use %sky")
    face = Cell(body, getattr(shell, "user_ns", {}), live=getattr(shell, "kernel", None) is not None)
    try:
        value = tree.main(args=words, prog_name="sky", standalone_mode=False, obj=face)
    except click.ClickException as error:
        place = getattr(error, "ctx", None)
        name = place.command_path if place else "sky"
        raise UsageError(f"{name}: {' '.join(error.format_message().split())}") from None
    except click.Abort:
        raise KeyboardInterrupt from None
    if value is None or isinstance(value, int):  # an int is click's way to say that --help was all
        return None
    return plainly(value) if face.output == "json" else value


class Cell(Terminal):
    """live: the front end can change what it shows, so a job is one display; else text, as in a terminal."""

    def __init__(self, body: str | None, names: dict[str, Any], *, live: bool) -> None:
        super().__init__()
        self.body = body
        self._names = names
        self._live = live
        self._drawn: Any = None

    def asks(self) -> bool:
        return False

    def previews(self) -> bool:
        return True

    def announce(self, lines: list[str]) -> None:
        from IPython.display import display

        rows = "".join(f"<div>{escape(line)}</div>" for line in lines)
        display({"text/plain": "\n".join(lines), "text/html": rows}, raw=True)

    def say(self, text: str) -> None:
        click.echo(text)

    def show(self, value: Any) -> None:
        from IPython.display import display

        display(value)

    def names(self) -> dict[str, Any]:
        return self._names

    def emit(self, kind: str, content: dict[str, Any]) -> None:
        from IPython.display import clear_output, publish_display_data

        if kind == "clear_output":
            clear_output(wait=content.get("wait", False))
        elif "data" in content:
            data = {mime: what for mime, what in content["data"].items() if mime != _ELSEWHERE}
            publish_display_data(
                data,
                content.get("metadata"),
                transient=content.get("transient"),
                update=kind == "update_display_data",
            )
        else:
            super().emit(kind, content)

    def run(self, argv: Sequence[str]) -> None:
        """What it prints is the cell's; a cell gives no input."""
        import subprocess

        with subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as program:
            for line in program.stdout or ():
                click.echo(line, nl=False)
        self.exit_code = program.returncode

    def redraw(self, lines: list[str]) -> None:
        from IPython.display import display

        text = {"text/plain": "\n".join(lines)}
        if not self._live:
            super().redraw(lines)
        elif self._drawn is None:
            self._drawn = display(text, raw=True, display_id=True)
        else:
            self._drawn.update(text, raw=True)

    def insist(self, result: Callable[[], Any]) -> None:
        result()

    def follow(self, handle: Launch) -> None:
        from skynb.client.launch import checked

        if self._live:
            from skynb_magics.live import Live

            job = Live(handle).run()
        else:
            super().follow(handle)
            job = handle.job()
        if job is not None and job.final:
            checked(job)
