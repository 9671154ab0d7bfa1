"""Prints the budget of speed: what was measured here, next to what it may be and to SkyPilot's figure.

Run: make bench, or: .venv/bin/python benchmarks/run.py [--only PATTERN] [--json FILE] [--peer-venv DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import sys
from dataclasses import asdict
from pathlib import Path

import peer
from measures import Row
from rows import PARTS

ROOT = Path(__file__).resolve().parents[1]
PEER_SCRIPTS = ROOT.parent / "shared/reference/peer_bench"


def main() -> None:
    """Measure, print, and write the figures where asked."""
    options = arguments()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what was compiled is kept, on both sides, as for users
    parts = [name for name in PARTS if re.search(options.only, name)]
    if not parts:
        sys.exit(f"--only {options.only!r} picks none of: {', '.join(PARTS)}")
    load = " ".join(f"{one:.2f}" for one in os.getloadavg())
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, load {load}", flush=True)
    theirs = peers(options, parts)
    print(head(), flush=True)
    measured = []
    for name in parts:
        for row in PARTS[name]():
            measured.append(row)
            print(line(row, theirs), flush=True)
    if options.json:
        written = [asdict(row) | {"peer_value": theirs.get(row.peer)} for row in measured]
        options.json.write_text(json.dumps({"load": load, "rows": written}, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", metavar="PATTERN", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single figure")
    parser.add_argument("--peer-venv", type=Path, metavar="DIR", help="virtual environment with SkyPilot")
    default = PEER_SCRIPTS if PEER_SCRIPTS.is_dir() else None
    parser.add_argument("--peer-scripts", type=Path, default=default, metavar="DIR", help="its scripts")
    return parser.parse_args()


def peers(options: argparse.Namespace, parts: list[str]) -> dict[str, float]:
    """SkyPilot's figures, or a line that says why there are none."""
    if options.peer_venv is None:
        print("SkyPilot is not measured: no --peer-venv")
    elif options.peer_scripts is None:
        print("SkyPilot is not measured: no --peer-scripts")
    else:
        return peer.measured(options.peer_venv.resolve(), options.peer_scripts.resolve(), parts)
    return {}


def head() -> str:
    return f"\n{'what':<42}{'SkyPilot':>11}{'budget':>9}{'median (min-max, n)':>34}{'ratio':>9}\n{'-' * 105}"


def line(row: Row, theirs: dict[str, float]) -> str:
    """One line of the table; a ratio says how many times SkyPilot's figure is ours."""
    reference = theirs.get(row.peer)
    left = f"{row.what:<42}{_figure(reference):>11}{row.budget:>9}"
    if not row.values:
        return f"{left}   {row.note}"
    middle = statistics.median(row.values)
    spread = f"({_figure(min(row.values))}-{_figure(max(row.values))}, {len(row.values)})"
    ratio = f"{reference / middle:.0f}x" if reference and middle else ""
    return f"{left}{_figure(middle) + ' ' + row.unit:>14} {spread:>19}{ratio:>9}  {row.note}".rstrip()


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.2f}"


if __name__ == "__main__":
    main()
