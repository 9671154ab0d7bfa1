"""What a machine is made of: everything in the one call that makes it."""

from __future__ import annotations

import json
import stat

import pytest

from skynb.errors import ProviderError
from skynb_clusters.contract import Machine
from tests.support.ec2 import REGION
from tests.support.ec2_images import AMIS


def volumes(cloud):
    return cloud.client().describe_volumes()["Volumes"]


def tags_of(found):
    return {tag["Key"]: tag["Value"] for tag in found["Tags"]}


def test_machine_and_disk_bear_all_tags_from_their_first_moment(provider, cloud, ask):
    """No other call tags them; the tags of skynb win over labels of the same name."""
    before = cloud.set(calls=True)
    made = provider.create(ask(labels={"team": "a", "skynb-record": "mine"}))
    (instance,) = cloud.instances()
    wanted = {"team": "a", "skynb-record": made.tags["skynb-record"], "Name": "c-0", "skynb": "machine"}
    assert wanted.items() <= tags_of(instance).items()
    assert made.tags["skynb-record"] == "node-0"
    assert tags_of(volumes(cloud)[0]) == tags_of(instance)
    assert cloud.set(calls=True).get("CreateTags", 0) == before.get("CreateTags", 0)


def test_what_is_made_is_what_is_listed(provider, ask):
    """The answer of the create and the look afterwards agree on all that matters."""
    made = provider.create(ask())
    (seen,) = provider.list(made.tags, REGION).machines
    assert (seen.id, seen.token, seen.address, seen.place) == (made.id, made.token, made.address, REGION)
    assert (seen.zone, seen.instance_type, seen.state) == ("us-east-1b", "m5.large", "running")
    assert seen.reach
    assert not seen.spot


def test_only_version_two_of_the_metadata_service_answers(provider, cloud, ask):
    """A stray request on the machine gets no credentials."""
    provider.create(ask())
    assert cloud.instances()[0]["MetadataOptions"]["HttpTokens"] == "required"


@pytest.mark.parametrize("behaviour", ["stop", "terminate"])
def test_a_shutdown_from_inside_means_what_was_asked(provider, cloud, ask, behaviour):
    """Said at creation, seen afterwards, and ended by the node itself."""
    made = provider.create(ask(on_shutdown=behaviour))
    cloud.set(shut_down=made.id)
    (seen,) = provider.list(made.tags, REGION).machines
    assert seen.state == {"stop": "stopped", "terminate": "terminated"}[behaviour]
    assert seen.ended_by == "node"


def test_a_spot_machine_is_one_time_and_is_known_as_spot(provider, cloud, ask):
    """Its interruption reads as preemption; no stop is pretended."""
    made = provider.create(ask(spot=True, on_shutdown="stop"))
    assert made.spot
    with pytest.raises(ProviderError, match="cannot be stopped") as caught:
        provider.stop(made)
    assert caught.value.retryable == "no"
    cloud.set(interrupt=made.id)
    (seen,) = provider.list(made.tags, REGION).machines
    assert (seen.state, seen.ended_by) == ("terminated", "preemption")


def test_the_key_is_private_and_its_public_half_is_in_the_user_data(provider, cloud, ask, tmp_path):
    """One key for all machines; the file is its owner's alone, and is not in what EC2 gets."""
    first, second = provider.create(ask()), provider.create(ask())
    key = tmp_path / "aws" / "ssh_key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    texts = {cloud.set(user_data=machine.id) for machine in (first, second)}
    assert len(texts) == 1
    (text,) = texts
    users = json.loads(text.partition("\n")[2])["users"]
    assert users[0] == "default"
    assert users[1]["name"] == "ubuntu"
    assert users[1]["ssh_authorized_keys"][0].startswith("ssh-ed25519 ")
    assert "PRIVATE" not in text
    entry = provider.ssh(first)
    assert (entry.host, entry.user, entry.key_file) == (first.reach, "ubuntu", str(key))


@pytest.mark.parametrize(
    ("tier", "kind", "iops"),
    [
        (None, "gp3", 3500),
        ("medium", "gp3", 3500),
        ("high", "gp3", 7000),
        ("best", "io2", 20000),
        ("ultra", "io2", 20000),
        ("low", "standard", None),
    ],
)
def test_disk_tiers_are_skypilots(tier, kind, iops):
    """Type and speed of the root disk; gp3 gets its throughput too."""
    from skynb_clusters.contract import NodeRequest
    from skynb_clusters.providers.aws.images import Image, disks

    image = Image("ami-1", "x86_64", "/dev/sda1", 8, ("/dev/sda1", "/dev/sdb"))
    request = NodeRequest(token="t", name="n", tags={}, instance_type="t", disk_tier=tier, disk_gib=4)
    root, other = disks(image, request, encrypted=True)
    assert (root["Ebs"]["VolumeType"], root["Ebs"].get("Iops")) == (kind, iops)
    assert root["Ebs"].get("Throughput") == (iops // 16 if kind == "gp3" else None)
    assert root["Ebs"]["VolumeSize"] == 8  # never smaller than the image
    assert root["Ebs"]["Encrypted"]
    assert all(disk["Ebs"]["DeleteOnTermination"] for disk in (root, other))


def test_an_unknown_disk_tier_is_refused_before_anything_is_made(provider, cloud, ask):
    """The message names the tiers there are."""
    with pytest.raises(ProviderError, match="disk tier 'huge'"):
        provider.create(ask(disk_tier="huge"))
    assert cloud.instances() == []


@pytest.mark.parametrize(
    ("instance_type", "words"),
    [
        ("m5.large", "amd64"),
        ("m6g.large", "server/22.04/stable/current/arm64"),
        ("g5.xlarge", "x86_64/base-oss"),
        ("g5g.xlarge", "arm64/base-oss"),
        ("p3dn.24xlarge", "base-proprietary"),
    ],
)
def test_the_image_follows_from_the_hardware(provider, cloud, ask, instance_type, words):
    """Architecture and accelerators of the type choose among the public parameters."""
    provider.create(ask(instance_type=instance_type))
    name = next(name for name, ami in AMIS.items() if ami == cloud.instances()[0]["ImageId"])
    assert words in name


def test_the_tasks_own_image_wins(provider, cloud, ask):
    """By id and by parameter; one that is not there, or of the other architecture, is refused."""
    (arm,) = [name for name in AMIS if "canonical" in name and "arm64" in name]
    (gpu,) = [name for name in AMIS if "x86_64/base-oss" in name]
    for image in (AMIS[gpu], gpu, f"ssm:{gpu}"):
        provider.create(ask(image=image))
    assert {one["ImageId"] for one in cloud.instances()} == {AMIS[gpu]}
    for image, words in ((AMIS[arm], "arm64"), ("ami-0123456789abcdef0", "image"), ("/no/such", "image")):
        with pytest.raises(ProviderError, match=words) as caught:
            provider.create(ask(image=image))
        assert caught.value.retryable == "no"
    assert len(cloud.instances()) == 3


@pytest.mark.parametrize(
    "labels", [{"aws:x": "y"}, {"k" * 129: "v"}, {"k": "v" * 257}, {str(n): "v" for n in range(50)}]
)
def test_labels_that_ec2_does_not_take_are_refused_by_name(provider, cloud, ask, labels):
    """Nothing is made, and the message says where they come from."""
    with pytest.raises(ProviderError, match="labels"):
        provider.create(ask(labels=labels))
    assert cloud.instances() == []


def test_settings_reach_the_machine(provider, cloud, ask, settings):
    """Labels of config.yaml, an encrypted disk, the login user, the private address."""
    settings("labels: {team: b}\ndisk_encrypted: true\nssh_user: me\nuse_internal_ips: true")
    made = provider.create(ask())
    assert made.tags["team"] == "b"
    assert volumes(cloud)[0]["Encrypted"]
    assert '"name": "me"' in cloud.set(user_data=made.id)
    entry = provider.ssh(made)
    assert (made.reach, entry.host, entry.user) == ("", made.address, "me")


def test_an_iam_profile_that_is_not_there_is_named_as_such(provider, cloud, ask, settings):
    """The setting is to blame, and the message says so."""
    settings("remote_identity: nobody")
    with pytest.raises(ProviderError) as caught:
        provider.create(ask())
    assert caught.value.retryable == "no"
    assert cloud.instances() == []


def test_a_machine_ends_itself_without_credentials(provider):
    """The command needs no terminal and no login as root."""
    command = " ".join(provider.end_command(Machine(id="i-1", token="", state="running", tags={}), "down"))
    assert "sudo -n shutdown -h now" in command
