"""The zipapp's entry: `python3 agent.pyz VERB --root R`."""

from __future__ import annotations

import sys

from skynb_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
