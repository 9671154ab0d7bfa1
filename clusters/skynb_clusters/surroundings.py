"""What there is around this server: which infra may be used, and what infra without a catalog offers.

Looked at ahead of a launch, never inside a transaction, and remembered for a while. Infra that does not
answer in time holds up nobody: what was known of it before stands.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import msgspec

from skynb.errors import ProviderError, SkynbError
from skynb_catalog import Offer
from skynb_clusters.contract import Check, Provider
from skynb_clusters.rehearsal import SIM

log = logging.getLogger("skynb.surroundings")

FRESH_S = 600.0
PATIENCE_S = 8.0
LOCAL = "local"


class _Seen(msgspec.Struct, frozen=True):
    """at: monotonic seconds of the look. offers: None for infra that a catalog lists."""

    at: float
    checks: tuple[Check, ...] = ()
    offers: tuple[Offer, ...] | None = None

    @property
    def usable(self) -> bool:
        return bool(self.offers) if self.offers is not None else any(check.ok for check in self.checks)


class Surroundings:
    """What this server's providers say of themselves. Thread-safe; `look` blocks."""

    def __init__(self, providers: Mapping[str, Provider], monotonic: Callable[[], float]) -> None:
        self._providers = {name: one for name, one in providers.items() if name not in {LOCAL, SIM}}
        self._monotonic = monotonic
        self._seen: dict[str, _Seen] = {}
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="skynb-look")

    def look(self, named: Mapping[str, str | None]) -> None:
        """Ask those of whom too little is known. named: what a task asks for, with the region."""
        now, asked = self._monotonic(), []
        for name, provider in self._providers.items():
            if region := named.get(name):
                provider.expect(region)
            seen = self._seen.get(name)
            own = type(provider).offers is not Provider.offers
            if own or seen is None or now - seen.at > FRESH_S or (name in named and not seen.usable):
                asked.append(self._pool.submit(self._ask, name, provider, own))
        wait(asked, PATIENCE_S)

    def check(self, provider: Provider) -> Sequence[Check]:
        """A provider's own word, remembered. Blocks."""
        checks = tuple(provider.check())
        if provider.name in self._providers and type(provider).offers is Provider.offers:
            self._seen[provider.name] = _Seen(self._monotonic(), checks)
        return checks

    def clouds(self, named: Mapping[str, str | None]) -> list[str]:
        """What may be planned with; ProviderError for infra that is asked for by name and cannot be used."""
        for name in named:
            seen = self._seen.get(name)
            if name in self._providers and not (seen and seen.usable):
                raise _unusable(name, seen)
        return [LOCAL, *(name for name, seen in self._seen.items() if seen.usable)]

    def offers(self) -> list[Offer]:
        """What infra without a catalog has now."""
        return [offer for seen in list(self._seen.values()) for offer in seen.offers or ()]

    def _ask(self, name: str, provider: Provider, own: bool) -> None:
        try:
            offers = tuple(provider.offers()) if own else None
            checks = () if own else tuple(provider.check())
        except SkynbError as error:
            log.warning("%s: %s", name, error)
            checks, offers = (_failed(name, error),), () if own else None
        self._seen[name] = _Seen(self._monotonic(), checks, offers)


def _failed(name: str, error: SkynbError) -> Check:
    return Check(infra=name, ok=False, detail=error.what, mend=error.mend or "")


def _unusable(name: str, seen: _Seen | None) -> ProviderError:
    if seen is None:
        return ProviderError(f"{name} did not answer in time", mend=f"`skynb check {name}` tells more")
    bad = next((check for check in seen.checks if not check.ok), None)
    if bad is None:
        what = f"{name} has no machines to offer now"
        return ProviderError(what, mend=f"`skynb check {name}` tells more", retryable="no")
    return ProviderError(f"{name} cannot be used", why=bad.detail, mend=bad.mend or None, retryable="no")
