"""Asking hosts: one short program over SSH, and what they said of themselves, kept for a while."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from skynb.errors import AuthError, ProviderError
from skynb_clusters.providers.ssh.pools import Host
from skynb_clusters.providers.ssh.shapes import Facts
from skynb_clusters.transports.ssh import KnownHosts, SshTransport

T = TypeVar("T")

ANSWER_SECONDS = 60.0
FACTS_SECONDS = 600.0
_AT_ONCE = 32
_NO_PROGRAM = 127


class Hosts:
    """The hosts that this server talks to. Thread-safe."""

    def __init__(self, book: KnownHosts) -> None:
        self.book = book
        self._facts: dict[Host, tuple[float, Facts]] = {}
        self._looking: dict[Host, Future[Facts]] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="skynb-ssh-hosts")

    def transport(self, host: Host, **place: Any) -> SshTransport:
        """The way to a host; `root`, `home` and `env` as for SshTransport."""
        return SshTransport(host.entry, alias=alias(host), book=self.book, password=host.password, **place)

    def ask(self, host: Host, verb: str, **request: Any) -> dict[str, Any]:
        """The host's answer to one verb of `on_host`; ProviderError or AuthError."""
        argv = ["python3", "-", verb, json.dumps(request)]
        process = self.transport(host, root=".", home=".").exec(argv)
        try:
            process.stdin.write(program().encode())
            process.stdin.close()
            output = process.stdout.read()
            status = process.wait(ANSWER_SECONDS)
            if status == 0:
                answer: dict[str, Any] = json.loads(output.splitlines()[-1])
                return answer
            why = process.stderr_tail().strip() or f"exit status {status}"
        except (OSError, ValueError, IndexError, TimeoutError) as error:
            why, status = str(error), 1
        finally:
            process.close()
        if status == _NO_PROGRAM:
            raise ProviderError(
                f"host {host.name} has no python3", mend="Install Python 3.8 or newer there", retryable="no"
            )
        raise ProviderError(f"host {host.name} did not answer {verb}", why=why, retryable="unknown")

    def facts(self, host: Host) -> Facts:
        """What a host that is reached now has, at most ten minutes old; ProviderError or AuthError."""
        self.transport(host, root=".", home=".").ready()
        return self._look(host).result()

    def known(self, hosts: Sequence[Host], seconds: float) -> dict[Host, Facts]:
        """What is known of hosts after at most so long; looks that take longer go on for the next call."""
        looks = {host: self._look(host) for host in hosts}
        wait(looks.values(), seconds)
        return {host: look.result() for host, look in looks.items() if look.done() and not look.exception()}

    def each(
        self, hosts: Sequence[Host], call: Callable[[Host], T]
    ) -> dict[Host, T | ProviderError | AuthError]:
        """The call's result for each host, or why there is none; all at once."""
        futures = {host: self._pool.submit(_tried, call, host) for host in hosts}
        return {host: future.result() for host, future in futures.items()}

    def _look(self, host: Host) -> Future[Facts]:
        """The look at a host that is under way or young enough, else a new one."""
        with self._lock:
            known = self._facts.get(host)
            if known is not None and time.monotonic() - known[0] < FACTS_SECONDS:
                done: Future[Facts] = Future()
                done.set_result(known[1])
                return done
            look = self._looking.get(host)
            if look is None:
                look = self._looking[host] = self._pool.submit(self._find_out, host)
            return look

    def _find_out(self, host: Host) -> Facts:
        try:
            found = msgspec.convert(self.ask(host, "facts"), Facts)
            with self._lock:
                self._facts[host] = (time.monotonic(), found)
            return found
        finally:
            with self._lock:
                self._looking.pop(host, None)


def alias(host: Host) -> str:
    """The name under which a host's key stands in the book."""
    return f"skynb-{host.ip}" if host.port == 22 else f"skynb-{host.ip}-{host.port}"


@cache
def program() -> str:
    """The source of `on_host`, as hosts run it."""
    return (Path(__file__).with_name("on_host.py")).read_text()


def _tried(call: Callable[[Host], T], host: Host) -> T | ProviderError | AuthError:
    try:
        return call(host)
    except (ProviderError, AuthError) as error:
        return error
