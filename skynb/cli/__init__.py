"""The click tree: one set of commands for the terminal, `%sky` and `%%sky`.

`tree.py` lists the commands, `face.py` is what tells a terminal from a notebook. Commands return objects and
print nothing themselves.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Console script `skynb`."""
    from skynb.cli.terminal import run

    sys.exit(run(sys.argv[1:]))
