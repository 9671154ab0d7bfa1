"""Starting the daemon of a home."""

from __future__ import annotations

import fcntl
import threading

from skynb.client import server


def test_a_home_that_is_not_free_yet_is_waited_for(tmp_path, monkeypatch):
    """One that was killed may hold its lock for a moment more; the first attempt to start finds it taken."""
    monkeypatch.setenv("SKYNB_HOME", str(tmp_path))
    held = (tmp_path / "server.lock").open("wb")
    fcntl.flock(held, fcntl.LOCK_EX)
    threading.Timer(1.5, held.close).start()
    try:
        assert server.start()["home"] == str(tmp_path)
    finally:
        assert server.stop()
    assert "already runs" in (tmp_path / "server.log").read_text()
