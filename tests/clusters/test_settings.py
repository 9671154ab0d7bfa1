"""What a person sets for a cloud: read as it is meant, or refused with the key's name."""

from __future__ import annotations

import pytest

from skynb.errors import SpecError
from skynb_clusters.settings import AwsSettings, section


def read(tmp_path, text: str) -> AwsSettings:
    (tmp_path / "config.yaml").write_text(text)
    return section(tmp_path, "aws", AwsSettings)


@pytest.mark.parametrize("text", ["", "aws:\n", "local: {}\n", "# nothing\n"])
def test_defaults_hold_where_nothing_is_written(tmp_path, text):
    """No file, an empty one, and one that speaks of others."""
    assert section(tmp_path / "none", "aws", AwsSettings) == AwsSettings()
    assert read(tmp_path, text) == AwsSettings()


def test_every_key_is_read(tmp_path):
    """SkyPilot's names and forms."""
    text = (
        "aws: {profile: p, vpc_name: v, subnet_names: [a, b], security_group_name: g, ssh_user: u,"
        " disk_encrypted: true, use_internal_ips: true, labels: {k: v}, remote_identity: r}"
    )
    found = read(tmp_path, text)
    assert found == AwsSettings(
        profile="p",
        vpc_name="v",
        subnet_names=("a", "b"),
        security_group_name="g",
        ssh_user="u",
        disk_encrypted=True,
        use_internal_ips=True,
        labels={"k": "v"},
        remote_identity="r",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("aws: {vpc_nme: x}", ["config.yaml: aws.vpc_nme", "Did you mean `vpc_name`?"]),
        ("aww: {}", ["config.yaml: aww", "Did you mean `aws`?"]),
        ("aws: [1]", ["config.yaml: aws", "not a mapping"]),
        ("[1]", ["not a mapping"]),
        ("aws: {disk_encrypted: maybe}", ["config.yaml: aws.disk_encrypted", "bool"]),
        ("aws: {labels: {a: 1}}", ["aws.labels"]),
        ("aws: {subnet_names: one}", ["aws.subnet_names"]),
        (
            "aws: {remote_identity: SERVICE_ACCOUNT}",
            ["aws.remote_identity", "name of an IAM instance profile"],
        ),
        ("a: [", ["cannot be read"]),
        ("!!python/object/apply:os.getcwd []", ["cannot be read"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, words):
    """One error with the key, and the nearest good spelling."""
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    for word in words:
        assert word in str(caught.value)
