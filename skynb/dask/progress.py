"""One line that says how far it is: updated in place in a notebook, on a terminal, silent elsewhere."""

from __future__ import annotations

import sys
from typing import Any


class Progress:
    """Make it in the thread that the cell runs in; `say` may be called from any."""

    def __init__(self, *, quiet: bool) -> None:
        self._last = ""
        self._handle = None if quiet else _notebook_display()
        self._terminal = not quiet and self._handle is None and sys.stderr.isatty()

    def say(self, text: str) -> None:
        """Show this line instead of the last one."""
        if text == self._last:
            return
        if self._handle is not None:
            self._handle.update({"text/plain": text}, raw=True)
        elif self._terminal:
            sys.stderr.write(f"\r{text:<{len(self._last)}}")
            sys.stderr.flush()
        self._last = text

    def end(self, text: str) -> None:
        """The last word, which stays."""
        self.say(text)
        if self._terminal:
            sys.stderr.write("\n")


def _notebook_display() -> Any:
    """A display that can be updated, in a kernel; None in a terminal or a script."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display({"text/plain": "skynb: asking for machines"}, raw=True, display_id=True)
