"""The journal of a notebook job: lines of its log that begin with a record separator, as in RFC 7464.

The log outlives every machine, so that the next attempt, and whoever looks, finds what each cell gave.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

MARK = "\x1e"


def line(record: dict[str, Any]) -> str:
    """A record as it stands in a log, with the ends of its line."""
    return f"{MARK}{json.dumps(record, separators=(',', ':'))}\n"


def records(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The records among lines. A line that is cut off is none."""
    for text in lines:
        if text.startswith(MARK):
            try:
                found = json.loads(text[1:])
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found
