"""A running job as one display that is updated in place, and whose last state the notebook keeps."""

from __future__ import annotations

import re
import time
from collections import deque
from contextlib import suppress
from html import escape
from typing import Any

from skynb.client.follow import Change, End
from skynb.client.launch import Launch
from skynb.client.logs import Lines
from skynb.client.words import clock, dollars, hourly
from skynb.errors import SkynbError
from skynb.wire import JobInfo, LogLine

KEPT_LINES = 200
KEPT_CHARACTERS = 2000  # of a line
BETWEEN_UPDATES = 0.1
BETWEEN_TICKS = 1.0
BETWEEN_BILLS = 5.0
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f]")
_PRE = "max-height:24em;overflow:auto;margin:0.3em 0"


class Live:
    """Follow a launch in a cell. Interrupting it leaves the job alone and says how to go on."""

    def __init__(self, handle: Launch) -> None:
        self._handle = handle
        self._lines = Lines(handle.num_nodes)
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)
        self._count = 0
        self._status = handle.status()
        self._remark = ""
        self._price = hourly(handle.hourly_micro)
        self._spent = ""
        self._asked_at = 0.0
        self._began = time.monotonic()
        self._shown: Any = None
        self._shown_at = 0.0
        self._changed = True

    def run(self) -> JobInfo | None:
        """Show until the end; the job's last word, None when there was none or somebody left."""
        try:
            return self._run()
        except KeyboardInterrupt:
            self._remark = f"Detached, the work goes on. To {self._handle.ways_on('%sky')}"
            self._show()
            return None
        except BaseException:
            self._show()
            raise

    def bundle(self) -> dict[str, str]:
        """The display as it is now, as text and as HTML."""
        lines = [visible(line) for line in (*self._kept, *self._lines.partial())][-KEPT_LINES:]
        head, foot = self._head(), self._foot(len(lines))
        text = "\n".join([f"{self._status}  {head}", *lines, *foot])
        log = f'<pre style="{_PRE}">{escape(chr(10).join(lines))}</pre>' if lines else ""
        tail = "".join(f"<div>{escape(line)}</div>" for line in foot)
        html = f"<div><b>{escape(self._status)}</b> {escape(head)}</div>{log}{tail}"
        return {"text/plain": text, "text/html": html}

    def _run(self) -> JobInfo | None:
        with self._handle.follow() as updates:
            self._show()
            for update in updates:
                if isinstance(update, End):
                    return self._end(update.job)
                self._take(update)
                if time.monotonic() - self._asked_at >= BETWEEN_BILLS:
                    self._ask_spent()
                age = time.monotonic() - self._shown_at
                if age >= (BETWEEN_UPDATES if self._changed else BETWEEN_TICKS):
                    self._show()
        return None

    def _take(self, update: LogLine | Change | None) -> None:
        if isinstance(update, LogLine):
            lines = self._lines.feed(update)
            self._count += len(lines)
            self._kept.extend(lines)
        elif update is not None:
            self._status = update.status or self._status
            self._remark = "" if update.status else update.text
        self._changed = self._changed or update is not None

    def _ask_spent(self) -> None:
        """What it has cost; where that cannot be had now, the last figure stays."""
        with suppress(SkynbError):
            self._spent = f" · {dollars(self._handle.spent_micro())} spent"
        self._asked_at = time.monotonic()

    def _end(self, job: JobInfo | None) -> JobInfo | None:
        self._ask_spent()
        self._status = job.status if job else self._handle.status()
        self._remark = job.reason if job else f"To {self._handle.ways_on('%sky')}"
        self._show()
        return job or self._handle.wait()

    def _show(self) -> None:
        from IPython.display import display

        if self._shown is None:
            self._shown = display(self.bundle(), raw=True, display_id=True)
        else:
            self._shown.update(self.bundle(), raw=True)
        self._shown_at = time.monotonic()
        self._changed = False

    def _head(self) -> str:
        job = f"job {self._handle.job_id} on " if self._handle.job_id is not None else ""
        taken = clock(time.monotonic() - self._began)
        return f"{job}{self._handle.cluster} · {self._price} · {taken}{self._spent}"

    def _foot(self, shown: int) -> list[str]:
        foot = [self._remark] if self._remark else []
        total = self._count + len(self._lines.partial())
        if total > shown:
            where = f"%sky logs {self._handle.cluster} {self._handle.job_id}"
            foot.append(f"{total} lines, the last {shown} are here; all of them: {where}")
        elif total:
            foot.append(f"{total} line{'s' if total > 1 else ''}")
        return foot


def visible(line: str) -> str:
    """A line as a terminal would leave it, without its colours, and not endless."""
    text = _ESCAPES.sub("", line.rpartition("\r")[2])
    return text if len(text) <= KEPT_CHARACTERS else text[: KEPT_CHARACTERS - 1] + "…"
