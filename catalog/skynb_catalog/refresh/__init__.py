"""Fresh prices: fetched from their sources, checked, and put in force whole or not at all.

`refresh` (`run.py`) is the way in. One source is one module of `sources/`; `web.py` is how they ask,
`spool.py` keeps what has come, `fetching.py` runs them side by side, `merge.py` lays all over what is known.
"""

from __future__ import annotations

from skynb_catalog.refresh.report import CloudResult, Progress, Report, SourceResult
from skynb_catalog.refresh.run import refresh
from skynb_catalog.refresh.sources import SOURCES

__all__ = ["SOURCES", "CloudResult", "Progress", "Report", "SourceResult", "refresh"]
