"""Looking into regions: which are enabled, and what is in one or in all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from skynb.errors import AuthError, ProviderError
from skynb_clusters.providers.aws.clients import Clients
from skynb_clusters.providers.aws.refusals import told

REMEMBER_SECONDS = 3600.0
AT_ONCE = 16
T = TypeVar("T")


class Regions:
    """The regions that are enabled for the account, asked again after an hour."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._lock = threading.Lock()
        self._known: tuple[float, tuple[str, ...]] | None = None

    def enabled(self) -> tuple[str, ...]:
        """Their names, sorted. Raises AuthError, ProviderError."""
        with self._lock:
            if self._known is None or time.monotonic() - self._known[0] >= REMEMBER_SECONDS:
                with told("listing the regions"):
                    answer = self._clients.ec2(self._clients.region()).describe_regions()
                names = tuple(sorted(found["RegionName"] for found in answer["Regions"]))
                self._known = (time.monotonic(), names)
            return self._known[1]

    def everywhere(self, look: Callable[[str], T]) -> tuple[list[T], tuple[str, ...]]:
        """What `look` finds in every enabled region, and the regions where it failed.

        Where it failed everywhere, the error of one of them is raised.
        """
        names = self.enabled()
        found: list[T] = []
        blind: list[str] = []
        last: AuthError | ProviderError | None = None
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="skynb-aws") as pool:
            for name, looking in [(name, pool.submit(look, name)) for name in names]:
                try:
                    found.append(looking.result())
                except (AuthError, ProviderError) as error:
                    blind.append(name)
                    last = error
        if last is not None and not found:
            raise last
        return found, tuple(blind)

    def instances(self, region: str, wanted: Mapping[str, str]) -> Sequence[dict[str, Any]]:
        """The instances of a region for which every filter holds, in any state still known."""
        filters = [{"Name": name, "Values": [value]} for name, value in sorted(wanted.items())]
        with told(f"listing the machines in {region}"):
            pages = self._clients.ec2(region).get_paginator("describe_instances").paginate(Filters=filters)
            return [
                instance
                for page in pages
                for reservation in page["Reservations"]
                for instance in reservation["Instances"]
            ]
