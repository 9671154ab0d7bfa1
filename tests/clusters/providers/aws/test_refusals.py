"""Every refusal of EC2 becomes one of ours, and says exactly what it disproves."""

from __future__ import annotations

import pytest

from skynb.errors import AuthError, CapacityError, ProviderError, QuotaError, ThrottledError
from tests.support.ec2 import KEYS

TABLE = [
    ("InsufficientInstanceCapacity", CapacityError, "capacity", "yes"),
    ("InsufficientHostCapacity", CapacityError, "capacity", "yes"),
    ("SpotMaxPriceTooLow", CapacityError, "capacity", "yes"),
    ("InsufficientFreeAddressesInSubnet", CapacityError, "zone", "yes"),
    ("MaxSpotInstanceCountExceeded", QuotaError, "quota", "no"),
    ("VcpuLimitExceeded", QuotaError, "quota", "no"),
    ("InstanceLimitExceeded", QuotaError, "quota", "no"),
    ("Unsupported", ProviderError, "type", "no"),
    ("InvalidParameterCombination", ProviderError, "type", "no"),
    ("InvalidInstanceType", ProviderError, "type", "no"),
    ("UnauthorizedOperation", AuthError, "cloud", "no"),
    ("AuthFailure", AuthError, "cloud", "no"),
    ("ExpiredToken", AuthError, "cloud", "no"),
    ("InvalidClientTokenId", AuthError, "cloud", "no"),
    ("OptInRequired", AuthError, "region", "no"),
    ("PendingVerification", AuthError, "region", "yes"),
    ("InvalidAMIID.NotFound", ProviderError, "region", "no"),
    ("InvalidSubnetID.NotFound", ProviderError, "zone", "no"),
    ("InvalidGroup.NotFound", ProviderError, None, "yes"),
    ("IdempotentParameterMismatch", ProviderError, None, "unknown"),
    ("IdempotentInstanceTerminated", ProviderError, None, "no"),
    ("SomethingNew", ProviderError, None, "no"),
]


@pytest.mark.parametrize(("code", "kind", "disproves", "retryable"), TABLE)
def test_a_code_is_an_error_of_ours(provider, cloud, ask, code, kind, disproves, retryable):
    """Class, what is ruled out, and whether the same call may do later; with what, why and mend."""
    cloud.fail("RunInstances", code)
    with pytest.raises(kind) as caught:
        provider.create(ask())
    error = caught.value
    assert type(error) is kind
    assert (error.disproves, error.retryable) == (disproves, retryable)
    assert "m5.large" in error.what
    assert code in error.why
    assert error.mend
    assert cloud.instances() == []


@pytest.mark.parametrize(
    ("code", "status"), [("RequestLimitExceeded", 503), ("Throttling", 400), ("ThrottlingException", 400)]
)
def test_throttling_is_told_after_few_tries(provider, cloud, ask, code, status):
    """boto3 tries once more, and then we say so: no test and no user waits long."""
    before = cloud.set(calls=True).get("RunInstances", 0)
    cloud.fail("RunInstances", code, status=status, times=9)
    with pytest.raises(ThrottledError) as caught:
        provider.create(ask())
    assert caught.value.retryable == "yes"
    assert cloud.set(calls=True)["RunInstances"] - before == 2


def test_no_capacity_is_of_one_zone(provider, cloud, ask):
    """The next zone has the machine."""
    cloud.set(no_capacity=[["m5.large", "us-east-1b"]])
    with pytest.raises(CapacityError) as caught:
        provider.create(ask())
    assert "us-east-1b" in caught.value.what
    assert provider.create(ask(zone="us-east-1c")).zone == "us-east-1c"


def test_a_type_that_a_zone_lacks_rules_out_the_zone_only(provider, cloud, ask):
    """`Unsupported` has two meanings, which its text tells apart."""
    cloud.set(not_in_zone=[["m5.large", "us-east-1b"]])
    with pytest.raises(ProviderError) as caught:
        provider.create(ask())
    assert caught.value.disproves == "zone"


def test_a_quota_counts_what_runs(provider, cloud, ask):
    """Two vCPUs are one m5.large; the second one is refused."""
    cloud.set(vcpu_quota=2)
    first = provider.create(ask())
    with pytest.raises(QuotaError, match="limit"):
        provider.create(ask())
    provider.terminate(first)
    provider.create(ask())


def test_an_unknown_type_or_zone_is_told_before_money_is_spent(provider, cloud, ask):
    """Each rules out what it should."""
    with pytest.raises(ProviderError) as caught:
        provider.create(ask(instance_type="m5.gigantic"))
    assert caught.value.disproves == "type"
    with pytest.raises(ProviderError) as caught:
        provider.create(ask(zone="us-east-1z"))
    assert caught.value.disproves == "zone"
    assert cloud.instances() == []


def test_messages_hide_account_keys_and_encoded_text(provider, cloud, ask):
    """G12: what AWS says is shown without what it should not have said."""
    message = "User arn:aws:iam::123456789012:user/me with AKIAIOSFODNN7EXAMPLE may not. "
    cloud.fail(
        "RunInstances",
        "UnauthorizedOperation",
        message=message + "Encoded authorization failure message: SECRETblob123",
    )
    with pytest.raises(AuthError) as caught:
        provider.create(ask())
    text = str(caught.value)
    assert "user/me" in text
    for hidden in ("123456789012", "AKIAIOSFODNN7EXAMPLE", "SECRETblob123", KEYS["AWS_SECRET_ACCESS_KEY"]):
        assert hidden not in text


def test_a_server_error_leaves_the_truth_open(provider, cloud, ask):
    """500, and it was made all the same: unknown, then the same token finds it. One machine."""
    request = ask()
    cloud.fail("RunInstances", "InternalError", status=500, times=2, after=True)
    with pytest.raises(ProviderError) as caught:
        provider.create(request)
    assert caught.value.retryable == "unknown"
    made = provider.create(request)
    assert [one["InstanceId"] for one in cloud.instances()] == [made.id]


def test_nobody_at_home_is_unknown(provider, ask, monkeypatch):
    """No connection says nothing of what is there."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ProviderError) as caught:
        provider.list({}, "us-east-1")
    assert caught.value.retryable == "unknown"
    assert caught.value.disproves is None


def test_no_credentials_is_an_error_of_credentials(provider, ask, monkeypatch):
    """The chain finds none: said so, with the mend; `check` says the same and does not raise."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in KEYS:
        monkeypatch.delenv(name)
    with pytest.raises(AuthError, match="no usable AWS credentials"):
        provider.create(ask())
    (check,) = provider.check()
    assert not check.ok
    assert "aws configure" in check.mend


def test_without_a_usual_region_there_is_one(provider, cloud, monkeypatch):
    """Whoever names a region with each task need not name one for the rest."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    (check,) = provider.check()
    assert (check.ok, check.detail.endswith("usual region us-east-1")) == (True, True)


@pytest.mark.parametrize(
    ("action", "code"),
    [("GetCallerIdentity", "InvalidClientTokenId"), ("RunInstances", "UnauthorizedOperation")],
)
def test_check_says_what_is_missing(provider, cloud, action, code):
    """Credentials that are not accepted, and a permission that is not there."""
    assert provider.check()[0].ok
    cloud.fail(action, code)
    (check,) = provider.check()
    assert not check.ok
    assert code in check.detail
    assert check.mend
    assert "123456789012" not in provider.check()[0].detail
