"""Entries for `ssh CLUSTER`, and the person's own configuration that includes them."""

import shutil
import subprocess

import pytest

from skynb.client import ssh
from skynb.errors import SkynbError
from skynb.wire import SshInfo

NODE = SshInfo(
    name="box",
    rank=0,
    host="10.0.0.7",
    user="ubuntu",
    port=2222,
    key_file="/keys/a key",
    jump="me@gate:2200",
    known_hosts="/known",
    host_key_alias="i-1",
)


@pytest.fixture
def person(tmp_path, monkeypatch):
    """A home folder with a configuration of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SKYNB_HOME", str(tmp_path / "skynb home"))
    config = tmp_path / ".ssh" / "config"
    config.parent.mkdir()
    config.write_text("Host own\n    HostName example.org\n")
    return config


def understood(config, name: str) -> dict[str, str]:
    """What OpenSSH makes of it."""
    if not shutil.which("ssh"):
        pytest.skip("no OpenSSH client here")
    answer = subprocess.run(
        ["ssh", "-G", "-F", config, name], capture_output=True, text=True, check=True, timeout=20
    )
    return dict(line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line)


def test_openssh_takes_the_entries(person):
    """Through the person's own file, which keeps all that it said."""
    ssh.keep({"box"}, "box", [NODE])
    assert ssh.include() is True
    assert ssh.include() is False
    seen = understood(person, "box")
    assert (seen["hostname"], seen["user"], seen["port"]) == ("10.0.0.7", "ubuntu", "2222")
    assert seen["proxyjump"] == "me@gate:2200"
    assert (seen["userknownhostsfile"], seen["hostkeyalias"]) == ("/known", "i-1")
    assert seen["identityfile"].strip('"') == "/keys/a key"
    assert understood(person, "own")["hostname"] == "example.org"
    assert person.with_name("config.before-skynb").read_text().startswith("Host own")
    assert ssh.file().stat().st_mode & 0o077 == 0


def test_entries_go_with_their_clusters(person):
    """Each cluster's own entries are replaced; those of clusters that are gone are taken out."""
    del person
    for name in ("a", "b", "c"):
        ssh.keep({"a", "b", "c"}, name, [SshInfo(name=name, rank=0, host=f"10.0.0.{name}", user="u")])
    ssh.keep({"a", "c"}, "c", [SshInfo(name="c", rank=0, host="10.9.9.9", user="u")])
    text = ssh.file().read_text()
    assert [line for line in text.splitlines() if line.startswith("Host ")] == ["Host a", "Host c"]
    assert "10.9.9.9" in text
    assert "10.0.0.c" not in text


def test_a_name_with_a_dot_stands_for_no_host(person):
    """A cluster called like a real host must not catch what is meant for that."""
    del person
    ssh.keep({"github.com"}, "github.com", [SshInfo(name="github.com", rank=0, host="10.0.0.1", user="u")])
    assert "Host " not in ssh.file().read_text()


def test_what_would_break_the_file_is_refused(person):
    """A host name comes from the infra; a line break in it is not written."""
    del person
    with pytest.raises(SkynbError):
        ssh.keep({"box"}, "box", [SshInfo(name="box", rank=0, host="a\n  ProxyCommand evil", user="u")])
    assert not ssh.file().exists()
