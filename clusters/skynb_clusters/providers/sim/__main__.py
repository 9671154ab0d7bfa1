"""`python -m skynb_clusters.providers.sim stop|down|notices FOLDER ID`: what runs on a simulated node."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from skynb.errors import ProviderError
from skynb_clusters.providers.sim.provider import NOTICE_S, SimProvider

LOOK_S = 1.0


def main() -> None:
    verb, folder, machine_id = sys.argv[1:4]
    provider = SimProvider(Path(folder))
    if verb == "notices":
        _print_notices(provider, machine_id)
    else:
        provider.end_inside(machine_id, verb)


def _print_notices(provider: SimProvider, machine_id: str) -> None:
    """A line for each notice, until the machine is gone."""
    told = 0
    while True:
        try:
            notices = provider.notices(machine_id)
        except ProviderError:
            return
        for at in notices[told:]:
            sys.stdout.write(json.dumps({"kind": "preemption", "at": at + NOTICE_S}) + "\n")
            sys.stdout.flush()
        told = len(notices)
        time.sleep(LOOK_S)


if __name__ == "__main__":
    main()
