"""What a conformance test knows of the account that it runs in, and how it looks at machines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from uuid import uuid4

import pytest

from skynb_clusters.contract import Machine, MachineState, NodeRequest, Provider

RequestFor = Callable[[str, Mapping[str, str]], NodeRequest]
OWNER = "skynb-owner"
GONE: frozenset[MachineState | None] = frozenset({None, "terminated"})


class Account:
    """A provider under test. Every machine made here bears a tag of this run, and is ended after it."""

    def __init__(self, provider: Provider, request_for: RequestFor, patience_s: float) -> None:
        self.provider = provider
        self.patience_s = patience_s
        self.run = f"conformance-{uuid4().hex[:12]}"
        self._request_for = request_for

    def request(self, token: str = "", **tags: str) -> NodeRequest:
        """A request with a token of its own, or with this one, and these tags."""
        return self._request_for(token or uuid4().hex, {OWNER: self.run, **tags})

    def create(self, **tags: str) -> Machine:
        """A new machine with these tags, once it runs."""
        return self.made(self.request(**tags))

    def made(self, request: NodeRequest) -> Machine:
        """The machine of this request, once it runs."""
        machine = self.provider.create(request)
        self.wait(machine, "running")
        return self.find(machine) or machine

    def seen(self, tags: Mapping[str, str] | None = None, region: str | None = None) -> Sequence[Machine]:
        """Machines of this run that are not ended, with these tags."""
        listing = self.provider.list({OWNER: self.run, **(tags or {})}, region)
        return [machine for machine in listing.machines if machine.state not in GONE]

    def find(self, machine: Machine) -> Machine | None:
        """The machine as it is listed now."""
        listing = self.provider.list({OWNER: self.run})
        return next((one for one in listing.machines if one.id == machine.id), None)

    def state(self, machine: Machine) -> MachineState | None:
        found = self.find(machine)
        return None if found is None else found.state

    def wait(self, machine: Machine, *states: MachineState | None) -> None:
        """Until it is listed in one of these states (None: not at all); AssertionError after the patience."""
        self.until(lambda: self.state(machine) in states, f"{machine.id} never was {states}")

    def until(self, condition: Callable[[], object], otherwise: str) -> None:
        deadline = time.monotonic() + self.patience_s
        while not condition():
            assert time.monotonic() < deadline, otherwise
            time.sleep(0.1)

    def end_all(self) -> None:
        """Give back whatever this run has made."""
        for machine in self.seen():
            self.provider.terminate(machine)
        self.until(lambda: not self.seen(), "machines of the run are left")


class AccountTests:
    """Fixtures and hooks that every part of the suite shares."""

    patience_s: float = 30.0
    """Seconds until a machine certainly runs, stops or ends."""

    secrets: Sequence[str] = ()
    """Secrets that the provider works with; no error and no check may contain one."""

    def remade(self, provider: Provider) -> Provider | None:
        """The provider as a server that started again makes it: same account, nothing in memory."""
        return None

    def losing(self, provider: Provider, verb: str) -> AbstractContextManager[None] | None:
        """While it lasts, `verb` (`create`, `terminate`) is done and its answer is lost."""
        return None

    def blinded(self, provider: Provider) -> AbstractContextManager[None] | None:
        """While it lasts, the infra cannot be seen."""
        return None

    def cut_power(self, provider: Provider, machine: Machine) -> bool:
        """Kill a machine from outside skynb; False where a test cannot."""
        return False

    @pytest.fixture(scope="class")
    @classmethod
    def account(cls, provider: Provider, request_for: RequestFor) -> Iterator[Account]:
        account = Account(provider, request_for, cls.patience_s)
        yield account
        account.end_all()

    @pytest.fixture(scope="class")
    @classmethod
    def machine(cls, account: Account) -> Machine:
        """A running machine that the tests of its inside share."""
        return account.create(**{"skynb-record": "node-shared-0"})
