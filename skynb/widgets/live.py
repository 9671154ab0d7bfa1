"""A component that looks again and again: off the event loop, and only while it is somewhere to be seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import panel as pn
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
        self._trouble = pn.pane.Alert("", alert_type="warning", visible=False)
        self._whole = pn.Column(self._trouble, body, sizing_mode="stretch_width")
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
            self._trouble.visible = False
            push_notebook(self._whole)  # plots, which Panel does not watch

    def _failed(self, error: SkynbError) -> None:
        self._trouble.object = f"{error}. What is below was seen before."
        self._trouble.visible = True
