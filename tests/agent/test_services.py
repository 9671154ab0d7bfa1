"""Services: by name, in process groups that are reaped whole."""

from __future__ import annotations

import pytest


def test_start_is_idempotent_by_content(solo, refused):
    """The same definition is the same process; another under the name is a conflict; other names are free."""
    first = solo.call("service_start", name="s", argv=["sleep", "60"], env={"A": "1"}, idle_ok=True)
    assert first["state"] == "RUNNING"
    assert solo.call("service_start", name="s", argv=["sleep", "60"], env={"A": "1"}, idle_ok=True) == first
    with pytest.raises(refused, match="conflict"):
        solo.call("service_start", name="s", argv=["sleep", "61"], env={"A": "1"})
    with pytest.raises(refused, match="bad-request"):
        solo.call("service_start", name="../s", argv=["sleep", "61"])
    solo.call("service_stop", name="s", grace_s=1)
    again = solo.call("service_start", name="s", argv=["sleep", "61"])
    assert again["pid"] != first["pid"]


def test_stop_reaps_every_descendant(solo, eventually):
    """TERM, patience, KILL; also children in their own sessions. The answer comes when all are gone."""
    child = "python3 -c 'import os,time; os.setsid(); time.sleep(60)'"
    script = f"trap '' TERM; {child} & touch up; while :; do sleep 1; done"
    solo.call("service_start", name="s", argv=["sh", "-c", script])
    eventually((solo.home / "up").exists, "did not start")
    assert solo.call("service_stop", name="s", grace_s=0.3)["state"] == "STOPPED"
    assert not solo.marked()
    assert solo.call("service_stop", name="s")["state"] == "STOPPED"


def test_exit_code_and_output_are_kept(solo, eventually):
    """A service that ends by itself shows its exit code, and its output can be read by offset."""
    solo.call(
        "service_start", name="s", argv=["sh", "-c", "echo $A from $FROM_CONFIG; exit 4"], env={"A": "hello"}
    )
    eventually(lambda: solo.call("service_list")["services"][0]["state"] == "EXITED", "did not end")
    (service,) = solo.call("service_list")["services"]
    assert service["exit_code"] == 4
    assert solo.call("service_log", name="s")["text"] == "hello from yes\n"
    assert solo.call("service_log", name="s", offset=6, limit=4) == {"offset": 6, "text": "from", "next": 10}


def test_a_service_that_cannot_start(solo, eventually):
    """A missing program ends with 127 and says so in its output."""
    solo.call("service_start", name="s", argv=["/no/such/program"])
    eventually(lambda: solo.call("service_list")["services"][0]["state"] == "EXITED", "did not end")
    assert solo.call("service_list")["services"][0]["exit_code"] == 127
