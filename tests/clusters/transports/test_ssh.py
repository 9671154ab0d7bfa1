"""Nodes over SSH, on real hosts: programs, sockets, keys, jumps, and what happens when the wire goes."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from skynb.errors import AuthError, ProviderError
from skynb_clusters.contract import SshEntry
from skynb_clusters.transports.connections import connection
from skynb_clusters.transports.routes import route
from skynb_clusters.transports.ssh import KnownHosts, SshTransport, hang_up
from tests.support import host_disks

ECHO = """
import os, socket
os.makedirs("box", exist_ok=True)
line = socket.socket(socket.AF_UNIX)
line.bind("box/echo.sock")
line.listen(5)
print("listening", flush=True)
while True:
    caller, _ = line.accept()
    while data := caller.recv(65536):
        caller.sendall(data)
    caller.close()
"""


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    """A home without keys or agent, and no connection that outlives a test."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield
    hang_up()


@pytest.fixture
def book(tmp_path):
    return KnownHosts(tmp_path / "known_hosts")


@pytest.fixture
def reach(lab, book):
    """A transport to a host, by its name in the lab."""

    def made(name: str, **entry) -> SshTransport:
        host = lab.up(name)
        entry = {"host": host.address, "user": host.user, "key_file": str(lab.key)} | entry
        env = entry.pop("env", {})
        password = entry.pop("password", "")
        return SshTransport(
            SshEntry(**entry), alias=name, book=book, root="box", home="home", env=env, password=password
        )

    return made


def run(transport: SshTransport, *argv: str, data: bytes = b"") -> tuple[int, bytes, str]:
    with closing(transport.exec(argv)) as process:
        if data:
            process.stdin.write(data)
        process.stdin.close()
        output = process.stdout.read()
        return process.wait(10), output, process.stderr_tail()


def until(condition, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.03)


def logins(host) -> int:
    """Connections of sshd that are logged in, without the one that asks."""
    return sum(line.startswith("sshd: root") for line in host.processes().values()) - 1


def test_a_program_runs_as_asked(reach):
    """Words, environment, input, output, errors and exit status arrive as they were, whatever is in them."""
    node = reach("n1", env={"WORD": "two words $HOME"})
    script = 'cat; printf %s "$WORD|$1"; echo wrong >&2; exit 7'
    assert run(node, "sh", "-c", script, "sh", "it's; `x`", data=b"in|") == (
        7,
        b"in|two words $HOME|it's; `x`",
        "wrong\n",
    )


def test_large_streams_are_whole(reach):
    """More bytes than any window holds go up and come down unchanged."""
    data = os.urandom(1 << 20) * 80
    with closing(reach("n1").exec(["cat"])) as process:
        threading.Thread(target=lambda: (process.stdin.write(data), process.stdin.close())).start()
        assert process.stdout.read() == data
        assert process.wait(10) == 0


def test_one_connection_for_everyone(lab, reach):
    """Twenty threads with transports of their own share one login, and a further one for want of sessions."""
    host = lab.up("n1")
    assert run(reach("n1"), "true")[0] == 0
    with ThreadPoolExecutor(8) as pool:
        assert {done[0] for done in pool.map(lambda _: run(reach("n1"), "true"), range(20))} == {0}
    assert logins(host) == 1
    programs = [reach("n1").exec(["sleep", "300"]) for _ in range(14)]
    until(lambda: list(host.processes().values()).count("sleep 300") == 14)
    for program in programs:
        program.close()
    until(lambda: "sleep 300" not in host.processes().values())
    until(lambda: logins(host) == 1)


def test_a_program_that_ends_early_takes_no_other_with_it(lab, reach, monkeypatch):
    """The end of its input comes when it has gone: sshd, which would hang up on all, never hears of it."""
    from paramiko import Channel

    lab.up("n1")
    other = reach("n1").exec(["sh", "-c", "sleep 1; echo well"])

    def late(channel):
        with channel.lock:
            message = channel._send_eof()
        until(lambda: channel.closed)
        if message is not None:
            channel.transport._send_user_message(message)

    with closing(other), closing(reach("n1").exec(["true"])) as process:
        monkeypatch.setattr(Channel, "shutdown_write", late)
        process.stdin.close()
        monkeypatch.undo()
        assert process.wait(10) == 0
        assert (other.stdout.read(), other.wait(10)) == (b"well\n", 0)


def test_closing_ends_the_program(lab, reach):
    """A program that neither reads nor writes is gone after close; waiting for it gives its end."""
    process = reach("n1").exec(["sh", "-c", "sleep 301 & wait"])
    with pytest.raises(TimeoutError):
        process.wait(0.1)
    process.close()
    process.close()
    until(lambda: not any("sleep 301" in line for line in lab.up("n1").processes().values()))


def test_a_unix_socket_below_the_root(reach):
    """Bytes go to a socket in the node's root and back; where none listens, there is an error at once."""
    node = reach("n1")
    with closing(node.exec(["python3", "-c", ECHO])) as server:
        assert server.stdout.read(10) == b"listening\n"
        with closing(node.connect("unix:echo.sock")) as line:
            line.stdin.write(b"hello")
            assert line.stdout.read(5) == b"hello"
    with pytest.raises(ProviderError, match="no answer") as error:
        node.connect("unix:nobody.sock")
    assert error.value.retryable == "unknown"


def test_a_tcp_port_of_the_node(reach):
    """A port is reached from the node, so its own loopback counts; a closed one is an error."""
    node = reach("n1")
    with closing(node.connect("tcp:127.0.0.1:22")) as line:
        assert line.stdout.read(4) == b"SSH-"
    with pytest.raises(ProviderError, match="no answer"):
        node.connect("tcp:127.0.0.1:9")


def test_the_first_host_key_counts(lab, reach, book):
    """It is recorded by alias in a private file that plain ssh reads; another key under it is refused."""
    host = lab.up("keyed")
    assert run(reach("keyed"), "true")[0] == 0
    assert book.path.stat().st_mode & 0o777 == 0o600
    options = ["-F", "none", "-o", f"UserKnownHostsFile={book.path}", "-o", "HostKeyAlias=keyed"]
    options += ["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-i", str(lab.key)]
    assert subprocess.run(["ssh", *options, f"root@{host.address}", "true"], check=False).returncode == 0
    hang_up()
    host.kill()
    host_disks.renew_host_key(host.disk)
    with pytest.raises(AuthError, match="another host key") as error:
        run(reach("keyed"), "true")
    assert str(book.path) in str(error.value.mend)
    assert error.value.disproves is None
    book.forget("keyed")
    hang_up()
    assert run(reach("keyed"), "true")[0] == 0


def test_a_wrong_key_is_refused_with_what_was_tried(tmp_path, reach):
    """The error names the login and the key file, and says how to mend it."""
    host_disks.write_key(tmp_path / "other")
    with pytest.raises(AuthError, match="refuses root") as error:
        run(reach("n1", key_file=str(tmp_path / "other")), "true")
    assert "other" in str(error.value.why)
    assert "authorized_keys" in str(error.value.mend)


def test_default_keys_agent_and_password(lab, tmp_path, monkeypatch, reach):
    """A login opens by the key in its usual place, by one that only the agent holds, or by a password."""
    host = lab.up("n1")
    (tmp_path / ".ssh").mkdir()
    usual = tmp_path / ".ssh" / "id_ed25519"
    usual.write_bytes(lab.key.read_bytes())
    usual.chmod(0o600)
    assert run(reach("n1", key_file=""), "true")[0] == 0
    usual.unlink()
    hang_up()
    agent = tmp_path / "a"
    with subprocess.Popen(["ssh-agent", "-D", "-a", agent], stdout=subprocess.DEVNULL) as holder:
        until(agent.exists)
        monkeypatch.setenv("SSH_AUTH_SOCK", str(agent))
        subprocess.run(["ssh-add", "-q", str(lab.key)], check=True)
        assert run(reach("n1", key_file=""), "true")[0] == 0
        hang_up()
        holder.terminate()
    monkeypatch.delenv("SSH_AUTH_SOCK")
    host.add_user("pat", password="open sesame")
    node = reach("n1", key_file="", user="pat", password="open sesame")
    assert run(node, "id", "-un")[1] == b"pat\n"
    assert "sesame" not in repr(route(node.entry, "n1", "open sesame"))


def test_jumps_by_entry_and_by_config(lab, tmp_path, reach):
    """A host that only another one reaches is reached through it: two hops in the entry, or ProxyJump."""
    one, two, far = lab.up("j1"), lab.up("j2"), lab.up("far")
    far.block(lab.gateway)
    far.block(one.address)
    (tmp_path / ".ssh").mkdir()
    config = tmp_path / ".ssh" / "config"
    config.write_text(
        f"Host *\n  User root\n  IdentityFile {lab.key}\n  IdentityAgent none\n"
        f"Host inner\n  HostName {far.address}\n  ProxyJump second\n"
        f"Host second\n  HostName {two.address}\n  ProxyJump {one.address}\n"
    )
    assert run(reach("far", jump=f"root@{one.address},root@{two.address}:22"), "hostname")[1] == b"far\n"
    hang_up()
    assert run(reach("far", host="inner", user="", key_file=""), "hostname")[1] == b"far\n"


def test_config_says_host_user_port_and_command(lab, tmp_path, reach):
    """HostName, User, IdentityFile and ProxyCommand of `~/.ssh/config` are followed as ssh would."""
    host = lab.up("n1")
    (tmp_path / ".ssh").mkdir()
    relay = tmp_path / "relay.py"
    relay.write_text(RELAY)
    (tmp_path / ".ssh" / "config").write_text(
        f"Host by-name\n  HostName {host.address}\n  User root\n  IdentityFile {lab.key}\n"
        f"  ProxyCommand python3 {relay} %h %p\n"
    )
    assert run(reach("n1", host="by-name", user="", key_file=""), "hostname")[1] == b"n1\n"


RELAY = """
import os, socket, sys, threading
line = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    while data := os.read(0, 65536):
        line.sendall(data)
threading.Thread(target=up, daemon=True).start()
while data := line.recv(65536):
    os.write(1, data)
os._exit(0)
"""


def test_a_crash_is_noticed_and_mended(lab, reach):
    """When the host dies a waiting program raises, calls fail as unknown, and work again after its boot."""
    host = lab.up("crash")
    node = reach("crash")
    with closing(node.exec(["sleep", "300"])) as process:
        host.kill()
        assert process.stdout.read() == b""
        with pytest.raises(ProviderError) as error:
            process.wait(10)
        assert error.value.retryable == "unknown"
    with pytest.raises(ProviderError):
        run(node, "true")
    host.boot()
    until(lambda: answers(node))


def answers(node: SshTransport) -> bool:
    try:
        return run(node, "true")[0] == 0
    except ProviderError:
        return False


def test_a_stream_lives_through_a_short_cut(lab, reach):
    """Nothing arrives while the cable is out; all of it does afterwards, on the same connection."""
    host = lab.up("cable")
    with closing(reach("cable").exec(["sh", "-c", "echo a; sleep 1; echo b"])) as process:
        assert process.stdout.read(2) == b"a\n"
        host.cut()
        time.sleep(1.2)
        host.heal()
        assert process.stdout.read() == b"b\n"
        assert process.wait(10) == 0


def test_a_failure_is_remembered_for_a_while(lab, book):
    """A hundred asks of a dead host make a few attempts, not a hundred; each is told why."""
    host = lab.up("dead")
    host.kill()
    entry = SshEntry(host=host.address, user="root", key_file=str(lab.key))
    way = connection(route(entry, "dead", ""), book)
    told = []
    for _ in range(100):
        with pytest.raises(ProviderError, match="does not answer") as error:
            way.session()
        told.append(error.value)
    assert way._failures < 10
    assert all(one.retryable == "unknown" for one in told)


def test_a_book_keeps_what_others_write(tmp_path):
    """Many writers of one book lose nothing; comments and odd lines do no harm."""
    path = tmp_path / "known"
    path.write_text("# mine\nbroken\n")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: KnownHosts(path).verify(f"m{n}", "ssh-ed25519", f"k{n}"), range(40)))
    assert all(KnownHosts(path).kinds(f"m{number}") == ["ssh-ed25519"] for number in range(40))
    KnownHosts(path).forget("m7")
    assert KnownHosts(path).kinds("m7") == []
    assert "# mine" in Path(path).read_text()
