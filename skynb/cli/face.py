"""What commands need of the place that they are used in: a terminal, or a notebook's cell."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from skynb.client.launch import Launch


class Face(Protocol):
    """body: text given apart from the command line (a cell, standard input). output: table or json."""

    body: str | None
    output: str

    def asks(self) -> bool:
        """Whether somebody is there to answer a question."""
        ...

    def confirm(self, question: str) -> None:
        """Return when the answer is yes, else click.Abort."""
        ...

    def previews(self) -> bool:
        """Whether what it will cost is shown before a launch, also where nobody is asked."""
        ...

    def announce(self, lines: list[str]) -> None:
        """Show what a launch will cost."""
        ...

    def say(self, text: str) -> None:
        """A remark, beside the result."""
        ...

    def show(self, value: Any) -> None:
        """Show a result, or part of one."""
        ...

    def lines(self, lines: Iterator[str], ways_on: str) -> bool:
        """Print lines as they come. Interrupting it is leaving: `ways_on` is said; False."""
        ...

    def names(self) -> dict[str, Any] | None:
        """What names hold where the command was given; None where there are none."""
        ...

    def emit(self, kind: str, content: dict[str, Any]) -> None:
        """Show what a kernel elsewhere said: a message of Jupyter's protocol, by its type."""
        ...

    def run(self, argv: Sequence[str]) -> None:
        """Run a program that talks to the person; take note of how it ended."""
        ...

    def redraw(self, lines: list[str]) -> None:
        """Show lines in the place of those shown so before, where the place can do that."""
        ...

    def follow(self, handle: Launch) -> None:
        """Show log and state until the job ends, or somebody leaves."""
        ...

    def insist(self, result: Callable[[], Any]) -> None:
        """Raise what `result` raises, where a failure must stop what comes next, as in a notebook."""
        ...

    def ended(self, status: str, *, final: bool) -> None:
        """Take note of how a job that was looked at stands."""
        ...


def face(context: click.Context | None = None) -> Face:
    """The face of the command that is running."""
    found: Face = (context or click.get_current_context()).find_root().obj
    return found
