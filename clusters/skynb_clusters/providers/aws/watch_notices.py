"""Runs on a machine of EC2, alone: prints a JSON line for each new notice of its metadata service.

    python3 -c SOURCE [BASE] [SECONDS]

Two are told: `preemption`, at the time when the machine will be taken, and `rebalance`, at the time when EC2
saw the risk. Ends when its standard input does.
"""

from __future__ import annotations

import calendar
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request

BASE = sys.argv[1] if len(sys.argv) > 1 else "http://169.254.169.254"
EVERY_S = float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
TOKEN_LIVES_S = 21600
PATHS = {
    "preemption": ("spot/instance-action", "time"),
    "rebalance": ("events/recommendations/rebalance", "noticeTime"),
}
plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(path: str, headers: dict[str, str], method: str = "GET") -> str:
    request = urllib.request.Request(BASE + "/latest/" + path, headers=headers, method=method)  # noqa: S310
    with plain.open(request, timeout=2) as answer:
        return str(answer.read(65536).decode())


def new_token() -> str:
    return ask("api/token", {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_LIVES_S)}, "PUT")


def notice(kind: str, token: str) -> dict[str, object] | None:
    """One notice, or None where there is none; HTTPError where the token no longer holds."""
    path, field = PATHS[kind]
    try:
        told = json.loads(ask("meta-data/" + path, {"X-aws-ec2-metadata-token": token}))
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        raise
    return {"kind": kind, "at": float(calendar.timegm(time.strptime(told[field][:19], "%Y-%m-%dT%H:%M:%S")))}


def leave_with_input() -> None:
    while os.read(0, 4096):
        pass
    os._exit(0)


def main() -> None:
    threading.Thread(target=leave_with_input, daemon=True).start()
    token = ""
    seen: list[dict[str, object]] = []
    while True:
        try:
            token = token or new_token()
            for kind in PATHS:
                found = notice(kind, token)
                if found is not None and found not in seen:
                    seen.append(found)
                    print(json.dumps(found), flush=True)  # noqa: T201 - what it is for
        except urllib.error.HTTPError:
            token = ""
        except (OSError, ValueError, KeyError, TypeError):
            pass  # the metadata service is busy or talks nonsense: asked again
        time.sleep(EVERY_S)


if __name__ == "__main__":
    main()
