"""Signs of use besides jobs: a GPU at work, a kernel that executes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request

import pytest

from skynb_agent import sensors


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """An nvidia-smi that answers with a given text, or fails with a given code."""

    def make(text, code=0):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return sensors.gpu()

    return make


@pytest.mark.parametrize(
    ("text", "code", "busy"),
    [("0\n4", 0, False), ("0\n97", 0, True), ("[N/A]", 0, None), ("", 0, False), ("0", 9, None)],
)
def test_gpus_at_work(smi, text, code, busy):
    """A driver that idles is no use; one that fails or does not tell is unknown, which counts as busy."""
    found = smi(text, code)
    assert (found.busy, found.supported) == (busy, True)


def test_without_a_gpu_nothing_is_said(monkeypatch, tmp_path):
    """No nvidia-smi, no signal."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not sensors.gpu().supported


@pytest.fixture
def jupyter(tmp_path):
    """A real Jupyter server in a home of its own, and a way to ask it."""
    runtime = tmp_path / ".local/share/jupyter/runtime"
    runtime.mkdir(parents=True)
    env = {**os.environ, "HOME": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_NO_CONFIG": "1"}
    argv = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ServerApp.port=0"]
    process = subprocess.Popen(
        argv, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while not (cards := list(runtime.glob("jpserver-*.json"))):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        card = json.loads(cards[0].read_text())

        def ask(method, path):
            request = urllib.request.Request(
                f"http://127.0.0.1:{card['port']}{path}",
                method=method,
                data=b"{}" if method == "POST" else None,
                headers={"Authorization": f"token {card['token']}"},
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read()

        yield tmp_path, ask
    finally:
        process.terminate()
        process.wait(30)


def until_kernels(home, busy):
    deadline = time.monotonic() + 60
    while (found := sensors.kernels(home, home)).busy is not busy:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


def test_a_kernel_that_executes_is_use_and_one_that_waits_is_not(jupyter):
    """skypilot-org/skypilot#1306 and #10628: the work of a kernel counts, its mere being there does not."""
    from jupyter_client import BlockingKernelClient

    home, ask = jupyter
    until_kernels(
        home, busy=False
    )  # its card is there a moment before it answers, and until then it is unknown
    _, made = ask("POST", "/api/kernels")
    kernel = json.loads(made)["id"]
    card = home / f".local/share/jupyter/runtime/kernel-{kernel}.json"
    client = BlockingKernelClient(connection_file=str(card))
    client.load_connection_file()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        until_kernels(home, busy=False)
        client.execute("import time; time.sleep(4)")
        assert until_kernels(home, busy=True).supported
        until_kernels(home, busy=False)
    finally:
        client.stop_channels()
        ask("DELETE", f"/api/kernels/{kernel}")


def test_a_server_that_does_not_say_is_unknown_and_a_dead_one_is_nothing(tmp_path):
    """What lives and does not answer may be at work; what its process left behind is not."""
    runtime = tmp_path / ".local/share/jupyter/runtime"
    runtime.mkdir(parents=True)
    (runtime / "jpserver-1.json").write_text(json.dumps({"pid": os.getpid(), "port": 1, "token": "t"}))
    found = sensors.kernels(tmp_path, tmp_path)
    assert (found.busy, found.supported) == (None, True)
    gone = subprocess.Popen(["true"])
    gone.wait()
    (runtime / "jpserver-1.json").write_text(json.dumps({"pid": gone.pid, "port": 1, "token": "t"}))
    (runtime / "jpserver-2.json").write_text("no json")
    assert not sensors.kernels(tmp_path, tmp_path).supported
