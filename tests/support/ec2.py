"""AWS for tests: a real HTTP server on loopback in a process of its own, found by boto3's usual variables.

With `hosts=True` every instance is a host of `tests.support.hosts`, which its user data's key opens.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.support.house import ROOT

REGION = "us-east-1"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "canary-secret-key"}
ENDED = {"terminated", "shutting-down"}


class Ec2:
    """A running fake. `env` is what a process needs to find it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
        self.env = {"AWS_ENDPOINT_URL": self.url, "AWS_DEFAULT_REGION": REGION, **nowhere, **KEYS}
        self._clients: dict[tuple[str, str], Any] = {}

    @contextmanager
    def around(self) -> Iterator[None]:
        """This process, and those that it starts, find this EC2 and no other."""
        before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("AWS_")}
        os.environ.update(self.env)
        try:
            yield
        finally:
            for name in self.env:
                os.environ.pop(name, None)
            os.environ.update(before)

    def set(self, **asked: Any) -> Any:
        """Set faults by name, or do a deed (`interrupt`, `shut_down`); unknown names raise HTTPError."""
        request = urllib.request.Request(f"{self.url}/_control", json.dumps(asked).encode())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30) as answer:
            return json.loads(answer.read())

    def fail(self, action: str, code: str, **how: Any) -> None:
        """The next call of this action is refused, or with `after=True` done and then refused."""
        self.set(fail={action: {"code": code, **how}})

    def client(self, service: str = "ec2", region: str = REGION) -> Any:
        """A plain client, to look behind the provider's back; one for each service and region."""
        made = self._clients.get((service, region))
        return made or self._clients.setdefault((service, region), self._client(service, region))

    def _client(self, service: str, region: str) -> Any:
        import boto3

        session = boto3.Session(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], region_name=region)
        return session.client(service, endpoint_url=self.url)

    def instances(self, region: str = REGION, *, living: bool = True) -> list[dict[str, Any]]:
        """The instances of a region."""
        found = self.client(region=region).describe_instances()["Reservations"]
        every = [instance for reservation in found for instance in reservation["Instances"]]
        return [one for one in every if not living or one["State"]["Name"] not in ENDED]


@contextmanager
def ec2(*, hosts: bool = False) -> Iterator[Ec2]:
    """A fake that ends with this context, or with this process."""
    argv = [sys.executable, "-W", "ignore", "-m", "tests.support.ec2_server", *(["hosts"] if hosts else [])]
    env: Mapping[str, str] = {
        **{key: value for key, value in os.environ.items() if not key.startswith("AWS_")},
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.Popen(argv, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin
    assert process.stdout
    try:
        port = process.stdout.readline()
        assert port.strip().isdigit(), "the fake EC2 did not start"
        yield Ec2(int(port))
    finally:
        process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
