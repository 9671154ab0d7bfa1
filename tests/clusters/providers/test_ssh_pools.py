"""Files of pools: what may be written there, and what is said of what may not."""

from __future__ import annotations

import pytest

from skynb.errors import ProviderError, SpecError
from skynb_clusters.providers.ssh.pools import Pools
from skynb_clusters.providers.ssh.shapes import Facts, Gpu, parse, shapes


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def read(home, text: str) -> Pools:
    (home / "ssh_pools.yaml").write_text(text)
    return Pools(home)


def test_hosts_in_every_shape(home):
    """Texts, user@host and mappings are hosts; a host's own field counts before the pool's."""
    pools = read(
        home,
        "p:\n  user: ubuntu\n  identity_file: ~/key\n  hosts:\n    - 10.0.0.1\n    - root@10.0.0.2\n"
        "    - {ip: 10.0.0.3, name: three, user: ann, port: 2222, jump: gate, password: pw}\n",
    )
    one, two, three = pools.get("p")
    assert (one.user, one.identity_file) == ("ubuntu", str(home / "key"))
    assert (two.user, two.ip) == ("root", "10.0.0.2")
    assert (three.user, three.port, three.jump, three.name) == ("ann", 2222, "gate", "three")
    assert pools.host("p/three") == three
    assert pools.get("nobody") == ()


def test_node_pools_of_skypilot_are_read_too(home):
    """Its file counts where ours has no pool of that name; a change is seen without a restart."""
    (home / ".sky").mkdir()
    theirs = home / ".sky" / "ssh_node_pools.yaml"
    theirs.write_text("a: {hosts: [h1]}\nb: {hosts: [h2]}\n")
    pools = read(home, "a: {hosts: [mine]}\n")
    assert [pools.get(name)[0].ip for name in "ab"] == ["mine", "h2"]
    theirs.write_text("c: {hosts: [h3]}\n")
    import os

    os.utime(theirs, (1, 1))
    assert set(pools.all()) == {"a", "c"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("p: {hosts: []}", ["pool p", "hosts"]),
        ("p: [h]", ["pool p", "hosts"]),
        ("- h", ["mapping of pools"]),
        ("p: {hosts: [{user: u}]}", ["pool p", "ip"]),
        ("p: {hosts: [{ip: h, port: many}]}", ["host h of pool p", "port"]),
        ("p: {hosts: [{ip: h, colour: red}]}", ["host h of pool p", "colour"]),
        ("p: {hosts: [h], colour: red}", ["pool p", "colour"]),
        ("p: {hosts: [h, h]}", ["pool p", "twice"]),
        ("p: {hosts: ['-oProxyCommand=x']}", ["pool p", "no name for a host"]),
        ("p: {hosts: [h], allocation: some}", ["host h of pool p", "allocation"]),
        ("p: !!python/object/apply:os.system [id]", ["cannot be read"]),
        ("p: {hosts: [", ["cannot be read"]),
    ],
)
def test_a_wrong_file_names_pool_host_and_field(home, text, words):
    """One clear error, never a traceback of the parser and never a program run."""
    with pytest.raises(SpecError) as error:
        read(home, text).all()
    assert all(word in str(error.value) for word in words)


def test_a_password_is_in_no_error(home):
    """A host with a secret and a wrong field is told of without the secret."""
    with pytest.raises(SpecError) as error:
        read(home, "p: {password: hunter2, hosts: [{ip: h, port: x}]}").all()
    assert "hunter2" not in str(error.value)


def test_instance_types_say_what_they_are():
    """Every shape of a host parses back from its name, fits its host, and the smaller sorts first."""
    facts = Facts(
        node="n",
        cpus=96,
        memory_gib=755.0,
        disk_gib=10,
        gpus=tuple(Gpu(number, "NVIDIA H100 80GB HBM3", 81559) for number in range(6)),
    )
    parts = shapes(facts, "shared")
    assert [part.gpus for part in parts if part.gpus] == [1, 2, 4, 6]
    assert all(parse(part.name) == part and part.fits(facts, "shared") for part in parts)
    assert not any(part.fits(facts, "exclusive") for part in parts)
    bare = [part.name for part in parts if not part.gpus]
    assert bare == sorted(bare)
    (whole,) = shapes(facts, "exclusive")
    assert whole.name == "whole-096cpu-755gib-6xH100"
    assert parse(whole.name) == whole
    with pytest.raises(ProviderError, match="no instance type"):
        parse("p5.48xlarge")
