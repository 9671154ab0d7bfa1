"""IPython magics and live displays over skynb: `%load_ext skynb`, then `%sky` and `%%sky`.

They are the click tree of `skynb.cli` with the cell as the task; `cell.py` is its face, `live.py` the display
of a running job. Loading imports next to nothing: the tree comes with the first use.
"""

from __future__ import annotations

from typing import Any

from skynb_magics.completion import matcher, remove


def load_ipython_extension(shell: Any) -> None:
    """Register the magics and their completion; doing it again changes nothing."""
    from IPython.core.magic import Magics, line_cell_magic, magics_class

    @magics_class
    class SkyMagics(Magics):
        @line_cell_magic
        def sky(self, line: str, cell: str | None = None) -> Any:
            """Skynb in a cell: `%sky status`, `%%sky launch -c NAME` with the task below; `%sky --help`."""
            from skynb_magics.cell import run

            return run(self.shell, line, cell)

    remove(shell)
    shell.register_magics(SkyMagics)
    shell.Completer.custom_matchers.append(matcher())


def unload_ipython_extension(shell: Any) -> None:
    """Take magics and completion away."""
    remove(shell)
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("sky", None)
