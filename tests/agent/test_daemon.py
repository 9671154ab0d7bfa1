"""The command line and the daemon behind it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from skynb_agent.protocol import Decoder, build_zipapp, encode, request


def test_start_is_idempotent(make_cluster):
    """A second start finds the first daemon; stop ends it; the next start is a new one on the same port."""
    node = make_cluster().add(0)
    first = node.start()
    again = node.start()
    assert first["started"]
    assert not again["started"]
    assert first["pid"] == again["pid"]
    assert json.loads(node.verb("stop").stdout)["stopped"]
    assert not json.loads(node.verb("stop").stdout)["stopped"]
    third = node.start()
    assert third["started"]
    assert third["head_port"] == first["head_port"]


def test_concurrent_starts_make_one_daemon(make_cluster):
    """Four starts at once: one of them started it, all report the same pid."""
    node = make_cluster().add(0)
    argv = [sys.executable, str(node.cluster.pyz), "start", "--root", str(node.root)]
    running = [subprocess.Popen(argv, stdout=subprocess.PIPE) for _ in range(4)]
    facts = [json.loads(child.communicate()[0]) for child in running]
    node.cluster.pids |= {fact["pid"] for fact in facts}
    assert len({fact["pid"] for fact in facts}) == 1
    assert sum(fact["started"] for fact in facts) == 1


def test_a_broken_configuration_is_one_clear_line(make_cluster):
    """A missing key is named on standard error, without a traceback."""
    node = make_cluster().add(0)
    (node.root / "config.json").write_text('{"cluster_id": "x"}')
    done = node.verb("start", check=False)
    assert done.returncode == 1
    assert done.stderr.decode().startswith("agent: ")
    assert b"node_id" in done.stderr
    assert b"Traceback" not in done.stderr


def test_rpc_over_standard_streams(solo):
    """Frames through the rpc verb; unknown methods and newer parameters are met with grace."""
    frames = encode(request(1, "hello", {"newer": 1})) + encode(request(2, "from_the_future"))
    done = solo.verb("rpc", stdin=frames)
    hello, unknown = (frame.body for frame in Decoder().feed(done.stdout))
    assert hello["result"]["node_id"] == solo.node_id
    assert unknown["error"]["code"] == "unknown-method"


def test_rpc_without_a_daemon(make_cluster):
    """Exit code 3 tells the server to start one."""
    assert make_cluster().add(0).verb("rpc", check=False).returncode == 3


def test_bridge_to_unix_and_tcp(solo, tmp_path):
    """Raw bytes both ways; the end of input is passed on and the end of the peer ends the bridge."""
    import socket

    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    before = Path.cwd()
    unix, tcp = socket.socket(socket.AF_UNIX), socket.create_server(("127.0.0.1", 0))
    try:
        os.chdir(folder)
        unix.bind("s")
    finally:
        os.chdir(before)
    unix.listen()
    for server, target in ((unix, f"unix:{folder}/s"), (tcp, f"tcp:127.0.0.1:{tcp.getsockname()[1]}")):
        echo = threading.Thread(target=_echo, args=(server,))
        echo.start()
        payload = os.urandom(700_000)
        assert solo.verb("bridge", target, stdin=payload).stdout == payload
        echo.join()
        server.close()
    assert solo.verb("bridge", "carrier:pigeon", check=False).returncode == 1


def _echo(server):
    with server.accept()[0] as line:
        while chunk := line.recv(65536):
            line.sendall(chunk)


def test_recv_writes_in_one_step(solo):
    """A file arrives whole, with its mode, under home; outside of home and root nothing is written."""
    solo.verb("recv", "a/b.txt", "--mode", "640", stdin=b"hello")
    target = solo.home / "a/b.txt"
    assert target.read_bytes() == b"hello"
    assert target.stat().st_mode & 0o777 == 0o640
    for outside in ("/tmp/ska-outside", "../x", str(solo.home / "../../x")):
        assert solo.verb("recv", outside, stdin=b"x", check=False).returncode == 1
    assert [path.name for path in target.parent.iterdir()] == ["b.txt"]


def test_oldest_python(make_cluster, python38):
    """The same zipapp on Python 3.8: a gang over TLS, logs, a service, a killed agent."""
    cluster = make_cluster(2)
    port = _add(cluster, 0, python38).start()["head_port"]
    _add(cluster, 1, python38, head={"host": "127.0.0.1", "port": port}).start()
    cluster.wait_joined()
    head, worker = cluster.nodes
    assert head.call("hello")["python"].startswith("3.8")
    worker.call("service_start", name="s", argv=["sleep", "60"])
    head.submit(num_nodes=2, setup="echo setup", run="sleep 0.7; echo run")
    head.wait_job("RUNNING")
    worker.kill9()
    worker.start()
    assert head.wait_job()["state"] == "SUCCEEDED"
    line = worker.line()
    line.send("log_follow", job=1, rank=1, offset=0)
    assert line.wait(lambda frame: frame.data is not None).data == b"setup\nrun\n"
    assert worker.call("service_stop", name="s")["state"] == "STOPPED"


def _add(cluster, rank, python, **more):
    node = cluster.add(rank, **more)
    node.python = python
    return node


def test_the_zipapp_is_deterministic_and_small(tmp_path):
    """Two builds are equal byte for byte, and far below a megabyte."""
    first, second = build_zipapp(tmp_path / "a.pyz"), build_zipapp(tmp_path / "b.pyz")
    assert first == second
    assert (tmp_path / "a.pyz").read_bytes() == (tmp_path / "b.pyz").read_bytes()
    assert (tmp_path / "a.pyz").stat().st_size < 400_000


def test_a_python_of_the_servers_version_compiles_nothing(pyz):
    """The daemon is up in half the time when its modules need not be compiled first."""
    code = (
        "import sys; names = []; "
        "sys.addaudithook(lambda event, args: event == 'compile' and names.append(args[1])); "
        f"sys.path.insert(0, {str(pyz)!r}); import skynb_agent.agent; "
        "print(len([one for one in names if 'skynb_agent' in str(one)]))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, check=True)
    assert done.stdout.decode().strip() == "0"


def test_only_the_standard_library_is_loaded(pyz):
    """Importing the daemon from the zipapp with site-packages off works."""
    code = f"import sys; sys.path.insert(0, {str(pyz)!r}); import skynb_agent.agent; print(len(sys.modules))"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, check=True)
    print("modules loaded by the daemon:", done.stdout.decode().strip())


def test_version_is_the_distributions():
    """The agent cannot import skynb, so it carries the same number."""
    import skynb_agent
    from skynb._version import __version__

    assert skynb_agent.__version__ == __version__
