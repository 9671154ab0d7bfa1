"""Infra `ssh` on real hosts: who gets what of which host, and that nothing of an allocation is left."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import msgspec
import pytest

from skynb.errors import CapacityError, ProviderError
from skynb_clusters.contract import NodeRequest
from skynb_clusters.providers.ssh.provider import SshProvider
from skynb_clusters.transports.ssh import hang_up


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    yield
    hang_up()


@pytest.fixture
def pools(lab, tmp_path):
    """A provider, given its pools; each call is another server with a home of its own."""
    made = []

    def make(**pools) -> SshProvider:
        home = tmp_path / f"home{len(made)}"
        home.mkdir()
        defaults = {"user": "root", "identity_file": str(lab.key)}
        (home / "ssh_pools.yaml").write_text(
            json.dumps({key: defaults | pool for key, pool in pools.items()})
        )
        made.append(SshProvider(home / "ssh"))
        return made[-1]

    yield make
    for provider in made:
        for machine in provider.list({"skynb-owner": "me"}).machines:
            provider.terminate(machine)


def ask(provider: SshProvider, token: str, type_: str = "", pool: str = "p"):
    wanted = type_ or next(
        offer.instance_type for offer in provider.offers() if offer.region == f"ssh-{pool}"
    )
    tags = {"skynb-owner": "me", "skynb-record": f"node-{token}"}
    return NodeRequest(token=token, name=token, tags=tags, instance_type=wanted, region=f"ssh-{pool}")


def run(provider: SshProvider, machine, *argv: str) -> str:
    with closing(provider.transport(machine).exec(argv)) as process:
        process.stdin.close()
        output = process.stdout.read().decode()
        assert process.wait(10) == 0, process.stderr_tail()
        return output


def files(host) -> list[str]:
    """Files of allocations and claims, of every login."""
    places = ["/root/.skynb-hosts", "/home", "/var/tmp/skynb-hosts"]
    script = 'find "$@" -path "*skynb-hosts*" -type f -not -name lock 2>/dev/null; true'
    return host.ssh(["sh", "-c", script, "sh", *places], user="root").stdout.decode().split()


def test_one_token_one_machine(lab, pools):
    """Eight creates at once with one token make one machine, and so does another one after them."""
    host = lab.up("one")
    provider = pools(p={"hosts": [host.address, lab.up("two").address]})
    request = ask(provider, "t")
    with ThreadPoolExecutor(8) as pool:
        ids = {machine.id for machine in pool.map(lambda _: provider.create(request), range(8))}
    assert ids == {provider.create(request).id}
    assert len(provider.list({"skynb-owner": "me"}).machines) == 1


def test_tags_are_found_from_anywhere(lab, pools):
    """A server that knows nothing but the pool finds every machine by its tags, reaches and ends it."""
    hosts = [lab.up("one"), lab.up("two")]
    pool = {"hosts": [host.address for host in hosts]}
    first = pools(p=pool)
    made = [first.create(ask(first, token)) for token in "ab"]
    second = pools(p=pool)
    seen = second.list({"skynb-owner": "me"}).machines
    assert {machine.id for machine in seen} == {machine.id for machine in made}
    assert {machine.address for machine in seen} == {host.address for host in hosts}
    assert second.list({"skynb-owner": "you"}).machines == ()
    bare = msgspec.structs.replace(seen[0], tags={})
    assert run(pools(p=pool), bare, "pwd") == "/root\n"
    for machine in seen:
        second.terminate(machine)
    assert first.list({"skynb-owner": "me"}).machines == ()
    assert [files(host) for host in hosts] == [[], []]


def test_a_whole_host_is_given_once(lab, pools):
    """An exclusive host has one machine, whoever asks; the next is refused with the reason for each host."""
    provider = pools(p={"hosts": [lab.up("one").address]})
    machine = provider.create(ask(provider, "a"))
    other = pools(p={"hosts": [lab.up("one").address]})
    with pytest.raises(CapacityError) as error:
        other.create(ask(other, "b"))
    assert "taken" in str(error.value.why)
    provider.terminate(machine)
    assert other.create(ask(other, "b")).place.startswith("p/")


def test_parts_never_overlap(lab, pools):
    """Eight ask at once for a GPU each of a host with four: four get one of their own, four are refused."""
    host = lab.up("gpus")
    host.add_gpus(4)
    provider = pools(p={"hosts": [host.address], "allocation": "shared"})
    cpus = next(offer.vcpus for offer in provider.offers() if offer.accelerator_count == 4)
    type_ = f"001cpu-1gib-{max(1, 4 // int(cpus or 1))}xA100-80GB"

    def create(number: int):
        try:
            return provider.create(ask(provider, f"g{number}", type_))
        except CapacityError:
            return None

    with ThreadPoolExecutor(8) as pool:
        made = [machine for machine in pool.map(create, range(8)) if machine]
    seen = [run(provider, machine, "sh", "-c", "echo $CUDA_VISIBLE_DEVICES").strip() for machine in made]
    indexes = ",".join(seen).split(",")
    assert sorted(indexes) == sorted(set(indexes))
    assert 0 < len(made) <= 4


def test_gpus_are_offered_by_their_name(lab, pools):
    """A driver's GPUs are canonical names in offers; a broken driver is a check that fails, with the host."""
    host, broken = lab.up("good"), lab.up("broken")
    host.add_gpus(2, "NVIDIA H100 80GB HBM3", 81559)
    broken.add_gpus(-1)
    provider = pools(p={"hosts": [{"name": "good", "ip": host.address}]}, q={"hosts": [broken.address]})
    offers = [(offer.accelerator, offer.accelerator_count) for offer in provider.offers()]
    assert offers == [("H100", 2.0), (None, None)]
    good, bad = provider.check()
    assert (good.ok, bad.ok) == (True, False)
    assert "2 × NVIDIA H100" in good.detail
    assert broken.address in bad.infra
    assert "driver" in bad.detail


def test_a_silent_host_is_named_and_hides_only_its_own(lab, pools):
    """Cut off, a host is blind in a listing; records that were never asked of it are not in doubt."""
    near, far = lab.up("near"), lab.up("far")
    provider = pools(p={"hosts": [far.address, near.address]})
    request = ask(provider, "x")
    on_far = provider.create(request)
    on_near = provider.create(ask(provider, "y"))
    assert (on_far.address, on_near.address) == (far.address, near.address)
    far.kill()
    hang_up()
    listing = provider.list({"skynb-owner": "me"})
    assert [machine.id for machine in listing.machines] == [on_near.id]
    assert listing.blind == (f"p/{far.address}",)
    assert provider.list({"skynb-record": "node-y"}).blind == ()
    assert provider.list({"skynb-record": "node-new"}).blind == ()
    with pytest.raises(ProviderError):
        provider.list({"skynb-record": "node-x"})
    with pytest.raises(ProviderError):
        provider.create(request)  # not elsewhere: it may be there
    with pytest.raises(CapacityError) as error:
        provider.create(ask(provider, "z", request.instance_type))
    assert far.address in str(error.value.why)
    lab.up("far")
    hang_up()
    assert provider.create(request).id == on_far.id


def test_terminate_leaves_nothing_of_its_own(lab, pools):
    """What the machine started is gone, in whatever session, with every file; other machines live on."""
    host = lab.up("shared")
    provider = pools(p={"hosts": [host.address], "allocation": "shared"})
    mine, other = (provider.create(ask(provider, token, "001cpu-1gib")) for token in "ab")
    for machine, seconds in ((mine, "401"), (other, "402")):
        run(provider, machine, "sh", "-c", f"setsid sleep {seconds} >/dev/null 2>&1 & touch ~/made")
    stubborn = "trap '' TERM; sleep 403 & wait; while :; do sleep 403; done"
    run(provider, mine, "sh", "-c", f"setsid sh -c {stubborn!r} >/dev/null 2>&1 &".replace('"', "'"))
    provider.terminate(mine)
    provider.terminate(mine)
    left = list(host.processes().values())
    assert not any("sleep 401" in line or "sleep 403" in line for line in left)
    assert "sleep 402" in left
    assert not any(mine.id in name for name in files(host))
    assert any(other.id in name for name in files(host))


def test_a_machine_ends_itself(lab, pools):
    """Its end command, run from inside the machine, ends the machine with all processes and files."""
    host = lab.up("lone")
    provider = pools(p={"hosts": [host.address]})
    machine = provider.create(ask(provider, "a"))
    with closing(provider.transport(machine).exec(["sleep", "404"])):
        run(provider, machine, *provider.end_command(machine, "down"))
    assert "sleep 404" not in host.processes().values()
    assert files(host) == []
    assert provider.list({"skynb-owner": "me"}).machines == ()


def test_two_users_share_a_host_and_not_their_secrets(lab, pools):
    """Each sees their own machines only; nobody reads another's card, nor frees or forges a claim."""
    host = lab.up("users")
    host.add_user("ann")
    host.add_user("bob")
    anns = pools(p={"hosts": [host.address], "user": "ann"})
    bobs = pools(p={"hosts": [host.address], "user": "bob"})
    machine = anns.create(ask(anns, "a"))
    assert bobs.list({}).machines == ()
    with pytest.raises(CapacityError):
        bobs.create(ask(bobs, "b"))
    (claim,) = [name for name in files(host) if "/var/tmp" in name]
    assert b"node-a" not in host.ssh(["cat", claim], user="bob").stdout
    for attempt in (["rm", "-f", claim], ["sh", "-c", f"echo x >{claim}"], ["ls", "/home/ann/.skynb-hosts"]):
        assert host.ssh(attempt, user="bob", check=False).returncode != 0
    forged = f"/var/tmp/skynb-hosts/{claim.rpartition('/')[2].partition('-')[0]}-ssh-forged.json"
    host.ssh(
        ["sh", "-c", f'echo \'{{"whole": true, "cpus": 1, "memory_gib": 1, "gpus": []}}\' >{forged}'],
        user="bob",
    )
    anns.terminate(machine)
    host.ssh(["test", "-f", forged], user="bob")
    assert anns.create(ask(anns, "c")).address == host.address


def test_a_host_of_ssh_config_is_a_pool_of_one(lab, pools, tmp_path):
    """A task that names a Host of `~/.ssh/config` gets it, without any file of pools."""
    host = lab.up("one")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        f"Host box\n  HostName {host.address}\n  User root\n  IdentityFile {lab.key}\n  IdentityAgent none\n"
    )
    provider = pools()
    assert provider.offers() == ()
    provider.expect("ssh-box")
    machine = provider.create(ask(provider, "a", pool="box"))
    assert run(provider, machine, "hostname") == "one\n"
    assert [found.id for found in provider.list({"skynb-owner": "me"}).machines] == [machine.id]


def test_plain_ssh_gets_there(lab, pools):
    """The entry has all that plain ssh needs, the host's recorded key included."""
    import subprocess

    host = lab.up("one")
    provider = pools(p={"hosts": [host.address]})
    entry = provider.ssh(provider.create(ask(provider, "a")))
    options = ["BatchMode=yes", f"UserKnownHostsFile={entry.known_hosts}", "StrictHostKeyChecking=yes"]
    flags = [part for option in (*options, f"HostKeyAlias={entry.host_key_alias}") for part in ("-o", option)]
    command = ["ssh", "-F", "none", *flags, "-i", entry.key_file, f"{entry.user}@{entry.host}", "hostname"]
    assert subprocess.run(command, capture_output=True, check=True).stdout == b"one\n"
