"""A component that looks again and again, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from html import escape
from typing import Any, Generic, TypeVar

import panel as pn
from bokeh.models import Div
from panel.io import push_notebook

from skynb.errors import SkynbError

T = TypeVar("T")

_inline: list[bool] = []
_newest: dict[str, Live[Any]] = {}  # of each kind, in this notebook


def ready() -> None:
    """In a notebook, have Panel's scripts in the output of the cell: they then work without any network."""
    if _inline or pn.state.curdoc is not None:
        return
    try:
        from IPython import get_ipython
    except ImportError:
        return
    shell = get_ipython()
    if shell is not None and hasattr(shell, "kernel"):
        pn.extension(inline=True)
        _inline.append(True)


class Markup:
    """HTML that changes. Panel's own pane would ask another host for style sheets at each change."""

    def __init__(self, html: str = "", styles: dict[str, str] | None = None) -> None:
        self.div = Div(text=html, sizing_mode="stretch_width", styles=styles or {}, visible=bool(html))
        self.pane = pn.pane.Bokeh(self.div, sizing_mode="stretch_width")

    def say(self, html: str) -> None:
        """Show this, or nothing."""
        self.div.text, self.div.visible = html, bool(html)


class Trouble:
    """Why what is below may not be true any more."""

    def __init__(self) -> None:
        self._words = Markup(styles={"border-left": "3px solid #e08a00", "padding": "4px 8px"})
        self.pane = self._words.pane

    def say(self, why: object) -> None:
        self._words.say(escape(f"{why}. What is below was seen before."))

    def over(self) -> None:
        self._words.say("")


class Live(pn.viewable.Viewer, Generic[T]):
    """Shows what `load` returns by handing it to `show`, at once and then every so many seconds.

    A look that fails is said above what was seen last. In a notebook, which does not tell when an output is
    cleared, the newest of a kind looks and older ones stop and say so: there is never more than one.
    """

    def __init__(
        self, kind: str, load: Callable[[], T], show: Callable[[T], None], body: pn.Column, refresh_s: float
    ) -> None:
        super().__init__()
        ready()
        self._load, self._take = load, show
        self._trouble = Trouble()
        self._whole = pn.Column(self._trouble.pane, body, sizing_mode="stretch_width")
        self._look(load)
        self._timer: Any = None
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # a script: there is nobody to look for
        if pn.state.curdoc is None:
            if (older := _newest.get(kind)) is not None:
                older.stop()
            _newest[kind] = self
        self._timer = pn.state.add_periodic_callback(self.look, period=round(refresh_s * 1000))

    def __panel__(self) -> pn.Column:
        return self._whole

    @property
    def watches(self) -> bool:
        """Whether it looks again."""
        return self._timer is not None and bool(self._timer.running)

    def stop(self) -> None:
        """Look no more, and say so."""
        if self._timer is not None:
            self._timer.stop()
        self._trouble.say("A newer widget of this kind looks")
        push_notebook(self._whole)

    async def look(self) -> None:
        """Look now."""
        try:
            found = await asyncio.to_thread(self._load)
        except SkynbError as error:
            self._failed(error)
        else:
            self._look(lambda: found)

    def _look(self, load: Callable[[], T]) -> None:
        try:
            self._take(load())
        except SkynbError as error:
            self._failed(error)
        else:
            self._trouble.over()
            push_notebook(self._whole)  # plots, which Panel does not watch

    def _failed(self, error: SkynbError) -> None:
        self._trouble.say(error)
        push_notebook(self._whole)
