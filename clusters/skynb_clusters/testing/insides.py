"""Conformance: programs, sockets and the agent on a machine, and how it ends itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from threading import Timer
from typing import Any, Literal

import msgspec
import pytest

from skynb.errors import ProviderError
from skynb_agent.protocol import PROTOCOL, Decoder, Methods, encode, request
from skynb_clusters import tls
from skynb_clusters.contract import Machine, MachineState, Process, Transport
from skynb_clusters.deploy import start_agent
from skynb_clusters.testing.account import GONE, Account, AccountTests

WAIT_S = 30.0
NOTICE_LOOK_S = 2.0
_FOLDERS = (
    "import os, sys; assert sys.version_info >= (3, 8); "
    "[os.makedirs(path, exist_ok=True) for path in sys.argv[1:]]"
)
_TCP = (
    "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); "
    "c = s.accept()[0]; c.sendall(c.recv(64)[::-1]); c.close()"
)
_UNIX = (
    "import os, socket, sys; os.makedirs(sys.argv[1], exist_ok=True); os.chdir(sys.argv[1]); "
    "s = socket.socket(socket.AF_UNIX); s.bind('conformance.sock'); s.listen(); print('up', flush=True); "
    "c = s.accept()[0]; c.sendall(c.recv(64)[::-1]); c.close(); os.unlink('conformance.sock')"
)


class InsideTests(AccountTests):
    """The transport's words, and the commands that a provider leaves with a machine."""

    def test_bytes_go_through_unchanged(self, account: Account, machine: Machine) -> None:
        """A quarter of a MiB of every byte value comes back from `cat` as it went."""
        sent = bytes(range(256)) * 1024
        process = account.provider.transport(machine).exec(["cat"])
        try:
            received = _converse(process, sent)
            assert process.wait(WAIT_S) == 0
        finally:
            process.close()
        assert received == sent

    def test_a_program_says_how_it_ended(self, account: Account, machine: Machine) -> None:
        """The exit status and the end of standard error arrive."""
        process = account.provider.transport(machine).exec(["/bin/sh", "-c", "echo mistake >&2; exit 7"])
        try:
            assert process.wait(WAIT_S) == 7
            assert "mistake" in process.stderr_tail()
        finally:
            process.close()

    def test_close_ends_the_program(self, account: Account, machine: Machine) -> None:
        """A program that would run for minutes is gone after `close`, which may be called twice."""
        transport = account.provider.transport(machine)
        process = transport.exec(["/bin/sh", "-c", "echo $$; exec sleep 300"])
        pid = _line(process)
        with pytest.raises(TimeoutError):
            process.wait(0.2)
        process.close()
        process.close()
        account.until(lambda: _status(transport, ["kill", "-0", pid]) != 0, f"process {pid} is still there")

    def test_the_node_is_as_the_transport_says(self, account: Account, machine: Machine) -> None:
        """Its Python is 3.8 or newer, jobs can write at home, and the agent's folder can be made."""
        transport = account.provider.transport(machine)
        assert _status(transport, [*transport.python, "-c", _FOLDERS, transport.root, transport.home]) == 0
        assert _status(transport, ["test", "-w", transport.home]) == 0

    def test_a_tcp_port_of_the_node_can_be_reached(self, account: Account, machine: Machine) -> None:
        """`connect("tcp:...")` leads to what listens there."""
        transport = account.provider.transport(machine)
        process = transport.exec([*transport.python, "-c", _TCP])
        try:
            _assert_echo(transport, f"tcp:127.0.0.1:{_line(process)}")
        finally:
            process.close()

    def test_a_socket_of_the_node_can_be_reached(self, account: Account, machine: Machine) -> None:
        """`connect("unix:NAME")` leads to the socket of that name in the agent's folder."""
        transport = account.provider.transport(machine)
        process = transport.exec([*transport.python, "-c", _UNIX, transport.root])
        try:
            assert _line(process) == "up"
            _assert_echo(transport, "unix:conformance.sock")
        finally:
            process.close()

    def test_where_nobody_listens_is_an_error(self, account: Account, machine: Machine) -> None:
        """`connect` raises ProviderError, or the channel ends at once without a byte."""
        try:
            channel = account.provider.transport(machine).connect("unix:nobody.sock")
        except ProviderError:
            return
        assert channel.stdout.read(1) == b""
        channel.close()

    def test_an_ended_machine_runs_nothing(self, account: Account) -> None:
        """`exec` on a machine that is gone raises ProviderError, or the program never ends well."""
        made = account.create()
        account.provider.terminate(made)
        account.wait(made, *GONE)
        try:
            status = _status(account.provider.transport(made), ["true"])
        except ProviderError:
            return
        assert status != 0

    def test_the_agent_starts_and_answers(self, account: Account, machine: Machine) -> None:
        """One round trip brings it up; a second one finds it running; hello comes back with its name."""
        transport = account.provider.transport(machine)
        config = _agent_config(machine, transport)
        first, second = start_agent(transport, config), start_agent(transport, config)
        assert first["head_port"] == second["head_port"]
        assert _hello(transport)["node_id"] == config["node_id"]

    @pytest.mark.parametrize("mode", ["stop", "down"])
    def test_a_machine_can_end_itself(self, account: Account, mode: str) -> None:
        """`end_command`, run on the machine, stops or ends it, and billing if the provider says so."""
        if mode == "stop" and not account.provider.capabilities.stop:
            pytest.skip("it cannot stop")
        asked = account.request()
        on_shutdown: Literal["stop", "terminate"] = "stop" if mode == "stop" else "terminate"
        made = account.made(msgspec.structs.replace(asked, on_shutdown=on_shutdown))
        command = account.provider.end_command(made, "stop" if mode == "stop" else "down")
        process = account.provider.transport(made).exec(list(command))
        ended: tuple[MachineState | None, ...] = ("stopped",) if mode == "stop" else tuple(GONE)
        account.wait(made, *ended)
        process.close()
        found = account.find(made)
        billed = found is not None and found.billed_from is not None and found.billed_to is None
        assert not (billed and account.provider.capabilities.guest_shutdown_stops_billing)

    def test_what_its_own_end_does_can_be_changed(self, account: Account) -> None:
        """A machine that was made to go stops with its disk once that is asked."""
        if not account.provider.capabilities.stop:
            pytest.skip("it cannot stop")
        made = account.made(msgspec.structs.replace(account.request(), on_shutdown="terminate"))
        for _ in range(2):
            account.provider.set_on_shutdown(made, "stop")
        process = account.provider.transport(made).exec(list(account.provider.end_command(made, "stop")))
        account.wait(made, "stopped")
        process.close()

    def test_notices_are_json_lines(self, account: Account, machine: Machine) -> None:
        """Whatever the notice command prints within two seconds is an object with kind and time."""
        command = account.provider.notice_command(machine)
        if not command:
            assert account.provider.capabilities.notice_s == 0 or not machine.spot
            return
        process = account.provider.transport(machine).exec(list(command))
        closing = Timer(NOTICE_LOOK_S, process.close)
        closing.start()
        try:
            _assert_notices(_all_of(process))
        finally:
            closing.join()

    def test_ports_open_where_that_is_possible(self, account: Account, machine: Machine) -> None:
        """Opening twice does nothing more; without the capability it is refused by a known error."""
        if account.provider.capabilities.ports:
            for _ in range(2):
                account.provider.open_ports(machine, ["8080", "9000-9010"])
        else:
            with pytest.raises(ProviderError):
                account.provider.open_ports(machine, ["8080"])

    def test_ssh_is_known_or_said_not_to_be(self, account: Account, machine: Machine) -> None:
        """An entry names host, user and port; None says that ssh does not lead there."""
        entry = account.provider.ssh(machine)
        assert entry is None or (entry.host and entry.user and 0 < entry.port < 65536)


def _agent_config(machine: Machine, transport: Transport) -> dict[str, Any]:
    """A head of one node that ends nothing when its lease is over."""
    authority = tls.new_authority("conformance")
    pair = tls.issue(authority, "conformance", [machine.address])
    return {
        "protocol": PROTOCOL,
        "cluster": "conformance",
        "cluster_id": "cluster-conformance",
        "node_id": "node-conformance-0.1000",
        "rank": 0,
        "num_nodes": 1,
        "generation": 1000,
        "role": "head",
        "bind": machine.address,
        "head": None,
        "node_ips": [machine.address],
        "tls": {"ca": authority.cert, "cert": pair.cert, "key": pair.key},
        "slots": {"cpus": 1, "gpus": []},
        "env": dict(transport.env),
        "home": transport.home,
        "end": {"stop": ["true"], "down": ["true"]},
        "lease": {"presence_s": 600.0, "envelope_s": 600.0},
    }


def _hello(transport: Transport) -> dict[str, Any]:
    channel = transport.connect("unix:agent.sock")
    try:
        channel.stdin.write(encode(request(1, Methods.HELLO)))
        decoder = Decoder()
        while data := channel.stdout.read(1 << 16):
            for frame in decoder.feed(data):
                return dict(frame.body["result"])
        raise AssertionError("the agent hung up")
    finally:
        channel.close()


def _converse(process: Process, sent: bytes) -> bytes:
    """Write and read by turns: a pipe holds less than a test sends."""
    received = b""
    for start in range(0, len(sent), 4096):
        process.stdin.write(sent[start : start + 4096])
        while len(received) < start:
            received += process.stdout.read(65536)
    process.stdin.close()
    while more := process.stdout.read(65536):
        received += more
    return received


def _line(process: Process) -> str:
    text = b""
    while not text.endswith(b"\n"):
        more = process.stdout.read(1)
        assert more, process.stderr_tail()
        text += more
    return text.decode().strip()


def _status(transport: Transport, argv: Sequence[str]) -> int:
    process = transport.exec(list(argv))
    try:
        process.stdin.close()
        return process.wait(WAIT_S)
    finally:
        process.close()


def _assert_echo(transport: Transport, target: str) -> None:
    channel = transport.connect(target)
    try:
        channel.stdin.write(b"conform")
        received = b""
        while more := channel.stdout.read(64):
            received += more
        assert received == b"mrofnoc"
    finally:
        channel.close()


def _all_of(process: Process) -> bytes:
    """What a program prints until it ends, or is ended."""
    output = b""
    with suppress(OSError, ValueError):  # closed under our hands
        while more := process.stdout.read(4096):
            output += more
    return output


def _assert_notices(output: bytes) -> None:
    for line in output.splitlines():
        notice = json.loads(line)
        assert notice["kind"] in {"preemption", "rebalance"}
        assert float(notice["at"]) > 0
