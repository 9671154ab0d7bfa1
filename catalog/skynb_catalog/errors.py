"""The catalog's own small errors; the floors above turn them into theirs."""

from __future__ import annotations


class CatalogError(Exception):
    """The catalog cannot be read or written. what: one sentence; why: the cause; mend: what to do next."""

    def __init__(self, what: str, *, why: str | None = None, mend: str | None = None) -> None:
        super().__init__(". ".join(part for part in (what, why, mend) if part))
        self.what = what
        self.why = why
        self.mend = mend


class UnknownAcceleratorError(CatalogError):
    """No accelerator has this name; `nearest` holds the closest known spellings, best first."""

    def __init__(self, name: str, nearest: tuple[str, ...]) -> None:
        mend = f"Did you mean {' or '.join(nearest)}?" if nearest else "`skynb gpus` lists every name"
        super().__init__(f"no accelerator is called {name!r}", mend=mend)
        self.name = name
        self.nearest = nearest
