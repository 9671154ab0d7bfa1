"""Streams of files through the system's ssh: same node, same trust, and our own way where it cannot."""

from __future__ import annotations

from contextlib import closing

import pytest

from skynb_clusters.contract import SshEntry
from skynb_clusters.transports.openssh import _OpenSsh, bulk
from skynb_clusters.transports.ssh import KnownHosts, SshTransport
from tests.support.site import until


@pytest.fixture(scope="module")
def host(lab):
    return lab.up("o1")


@pytest.fixture
def reach(lab, host, tmp_path):
    """A transport to the host; changes go over its entry."""
    book = KnownHosts(tmp_path / "known hosts")

    def made(password="", **changes):
        entry = SshEntry(**({"host": host.address, "user": "root", "key_file": str(lab.key)} | changes))
        env = {"SAID": "a b"}
        return SshTransport(entry, alias="o1", book=book, root="box", home="home", env=env, password=password)

    return made


def echo(transport) -> tuple[type, bytes, int]:
    """How a program was reached, what it printed of what it was told, and how it ended."""
    with closing(bulk(transport, ["sh", "-c", 'echo "$SAID"; cat; exit 3'])) as process:
        process.stdin.write(b"x" * 100_000)
        process.stdin.close()
        output = b""
        while more := process.stdout.read(65536):
            output += more
        return type(process), output, process.wait(10)


def test_it_goes_through_the_systems_ssh(reach):
    """Once the host is known: input, output, variables and the exit code arrive."""
    transport = reach()
    transport.ready()
    assert echo(transport) == (_OpenSsh, b"a b\n" + b"x" * 100_000, 3)


@pytest.mark.parametrize(
    "case", ["a host that the book does not know", "a password", "no key file", "no ssh here"]
)
def test_else_it_goes_our_own_way(reach, lab, monkeypatch, tmp_path, case):
    """What ssh would have to ask somebody for, or to trust unseen, is left to our own connection."""
    changes = {"password": "secret"} if case == "a password" else {}
    if case == "no key file":
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / ".ssh").mkdir()
        (tmp_path / ".ssh" / "id_ed25519").write_bytes(lab.key.read_bytes())
        changes = {"key_file": ""}
    transport = reach(**changes)
    if case != "a host that the book does not know":
        transport.ready()
    if case == "no ssh here":
        monkeypatch.setattr("skynb_clusters.transports.openssh.shutil.which", lambda _name: None)
    kind, output, code = echo(transport)
    assert kind is not _OpenSsh
    assert (output, code) == (b"a b\n" + b"x" * 100_000, 3)


def test_closing_ends_it(reach, host):
    """A program that waits for more is gone from the node soon after."""
    transport = reach()
    transport.ready()
    with closing(bulk(transport, ["cat", "/etc/hostname", "-"])) as process:
        with pytest.raises(TimeoutError):
            process.wait(0.1)
        process.close()
        assert process.wait(5) != 0
    until(lambda: not any("/etc/hostname" in line for line in host.processes().values()))
