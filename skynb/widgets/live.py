"""A component that looks again and again: off the event loop, and only while it is somewhere to be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from html import escape
from typing import Generic, TypeVar

import panel as pn
from bokeh.models import Div
from panel.io import push_notebook

from skynb.errors import SkynbError

T = TypeVar("T")

_inline: list[bool] = []


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
    """What went wrong, above what was seen before."""

    def __init__(self) -> None:
        self._words = Markup(styles={"border-left": "3px solid #e08a00", "padding": "4px 8px"})
        self.pane = self._words.pane

    def say(self, error: SkynbError) -> None:
        self._words.say(escape(f"{error}. What is below was seen before."))

    def over(self) -> None:
        self._words.say("")


class Live(pn.viewable.Viewer, Generic[T]):
    """Shows what `load` returns by handing it to `show`, at once and then every so many seconds.

    A look that fails is said above what was seen last.
    """

    def __init__(
        self, load: Callable[[], T], show: Callable[[T], None], body: pn.Column, refresh_s: float
    ) -> None:
        super().__init__()
        ready()
        self._load, self._take = load, show
        self._trouble = Trouble()
        self._whole = pn.Column(self._trouble.pane, body, sizing_mode="stretch_width")
        self._look(load)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # a script: there is nobody to look for
        pn.state.add_periodic_callback(self._again, period=round(refresh_s * 1000))

    def __panel__(self) -> pn.Column:
        return self._whole

    async def _again(self) -> None:
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
