"""EC2's refusals as errors of this house: by their code, and by what exactly each disproves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from skynb.errors import (
    AuthError,
    CapacityError,
    Disproved,
    ProviderError,
    QuotaError,
    Retryable,
    SkynbError,
    ThrottledError,
)

MEND_MISSING = 'pip install "skynb[aws]"'
Family = Literal["capacity", "quota", "auth", "throttled", "provider"]

_KINDS: dict[Family, type[ProviderError | AuthError]] = {
    "capacity": CapacityError,
    "quota": QuotaError,
    "auth": AuthError,
    "throttled": ThrottledError,
    "provider": ProviderError,
}


class _Refusal(NamedTuple):
    """What a code means. disproves: None leaves what is usual for the family."""

    family: Family
    what: str
    mend: str
    disproves: Disproved | None = None
    retryable: Retryable | None = None


_ELSEWHERE = "Try another zone or region, or `--retry-until-up`"
_RAISE = "Ask for more at the Service Quotas page of EC2, or use another region or type"
_KEYS = "Renew the credentials: `aws configure`, `aws sso login` or the AWS_ variables of the server"
_AGAIN = "The same call is made again by itself"
_POLICY = "Give this identity the policy of docs/how-to/use-aws.md"
_SUBNET = "Check `aws.vpc_name` and `aws.subnet_names` in config.yaml"
_IMAGE = "Name an image of this region, as `ami-...` or as the path of an SSM parameter"

_NO_ROOM = _Refusal("capacity", "EC2 has no such machine free", _ELSEWHERE)
_NO_SPOT = _Refusal("capacity", "EC2 has no such spot machine free at its price", _ELSEWHERE)
_LIMIT = _Refusal("quota", "the account's limit for these machines is reached", _RAISE)
_SPOT_LIMIT = _Refusal("quota", "the account's limit for spot machines is reached", _RAISE)
_DISK_LIMIT = _Refusal("quota", "the account's limit for disks is reached", _RAISE, "region")
_BAD_KEYS = _Refusal("auth", "AWS does not accept the credentials", _KEYS)
_FORBIDDEN = _Refusal("auth", "this identity may not do that", _POLICY)
_SLOWER = _Refusal("throttled", "AWS wants fewer calls", _AGAIN)
_NO_IMAGE = _Refusal("provider", "the image is not there or cannot be used", _IMAGE, "region", "no")
_NO_SUBNET = _Refusal("provider", "the subnet is not there or cannot be used", _SUBNET, "zone", "no")
_NO_VPC = _Refusal("provider", "the network is not there or cannot be used", _SUBNET, "region", "no")
_NO_GROUP = _Refusal("provider", "the security group is not there", _AGAIN, None, "yes")
_NO_TYPE = _Refusal(
    "provider", "this instance type is not there", "Choose another instance type", "type", "no"
)
_WRONG = _Refusal(
    "provider", "EC2 refuses these settings together", "Change the task's resources", "type", "no"
)
_STATE = _Refusal("provider", "the machine is not in a state for that", _AGAIN)
_GONE = _Refusal(
    "provider", "the machine made for this request has ended", "Launch again: a new one is made", None, "no"
)
_TAKEN = _Refusal(
    "provider", "a machine was asked for by this request before, and is not seen yet", _AGAIN, None, "unknown"
)
_NO_PROFILE = _Refusal(
    "provider",
    "the IAM instance profile is not there",
    "Check `aws.remote_identity` in config.yaml",
    "cloud",
    "no",
)
_NOT_THERE = _Refusal("provider", "the machine is not there, or not seen yet", _AGAIN, None, "unknown")
_OURS = _Refusal("provider", "AWS failed inside", _AGAIN, None, "unknown")

_BY_CODE: dict[str, _Refusal] = {
    "InsufficientInstanceCapacity": _NO_ROOM,
    "InsufficientHostCapacity": _NO_ROOM,
    "InsufficientReservedInstanceCapacity": _NO_ROOM,
    "InsufficientCapacity": _NO_ROOM,
    "InsufficientCapacityOnHost": _NO_ROOM,
    "InsufficientAddressCapacity": _Refusal(
        "capacity", "EC2 has no public address free", _ELSEWHERE, "region"
    ),
    "InsufficientVolumeCapacity": _Refusal("capacity", "EC2 has no such disk free", _ELSEWHERE, "zone"),
    "InsufficientFreeAddressesInSubnet": _Refusal(
        "capacity", "the subnet has no address free", "Use a larger subnet, or another zone", "zone"
    ),
    "SpotMaxPriceTooLow": _NO_SPOT,
    "MaxSpotInstanceCountExceeded": _SPOT_LIMIT,
    "MaxSpotFleetRequestCountExceeded": _SPOT_LIMIT,
    "VcpuLimitExceeded": _LIMIT,
    "InstanceLimitExceeded": _LIMIT,
    "MaxIOPSLimitExceeded": _DISK_LIMIT,
    "VolumeLimitExceeded": _DISK_LIMIT,
    "AddressLimitExceeded": _Refusal(
        "quota", "the account's limit for addresses is reached", _RAISE, "region"
    ),
    "SecurityGroupLimitExceeded": _Refusal(
        "quota", "the account's limit for security groups is reached", _RAISE, "region"
    ),
    "SecurityGroupsPerInstanceLimitExceeded": _Refusal(
        "quota", "the account's limit for groups of a machine is reached", _RAISE, "region"
    ),
    "RulesPerSecurityGroupLimitExceeded": _Refusal(
        "quota", "the account's limit for rules of a security group is reached", "Open fewer ports", "region"
    ),
    "InvalidInstanceType": _NO_TYPE,
    "InvalidParameterCombination": _WRONG,
    "InvalidParameterValue": _WRONG,
    "InvalidBlockDeviceMapping": _WRONG,
    "UnsupportedOperation": _WRONG,
    "RequestLimitExceeded": _SLOWER,
    "Throttling": _SLOWER,
    "ThrottlingException": _SLOWER,
    "TooManyRequestsException": _SLOWER,
    "EC2ThrottledException": _SLOWER,
    "ResourceCountLimitExceeded": _SLOWER,
    "UnauthorizedOperation": _FORBIDDEN,
    "AccessDenied": _FORBIDDEN,
    "AccessDeniedException": _FORBIDDEN,
    "OperationNotPermitted": _Refusal(
        "provider", "the machine is protected", "Take away its protection in the AWS console", None, "no"
    ),
    "OptInRequired": _Refusal(
        "auth",
        "this region or service is not enabled for the account",
        "Enable it in the AWS console",
        "region",
    ),
    "PendingVerification": _Refusal(
        "auth",
        "AWS is still verifying the account for this region",
        "Wait, at most four hours",
        "region",
        "yes",
    ),
    "Blocked": _Refusal("auth", "AWS has blocked the account", "Ask AWS support"),
    "AuthFailure": _BAD_KEYS,
    "ExpiredToken": _BAD_KEYS,
    "ExpiredTokenException": _BAD_KEYS,
    "RequestExpired": _Refusal(
        "auth", "the clocks of this machine and AWS differ", "Set this machine's clock"
    ),
    "SignatureDoesNotMatch": _BAD_KEYS,
    "InvalidClientTokenId": _BAD_KEYS,
    "UnrecognizedClientException": _BAD_KEYS,
    "MissingAuthenticationToken": _BAD_KEYS,
    "ParameterNotFound": _NO_IMAGE,
    "DefaultVpcDoesNotExist": _NO_VPC,
    "VPCIdNotSpecified": _NO_VPC,
    "IdempotentParameterMismatch": _TAKEN,
    "IdempotentInstanceTerminated": _GONE,
    "IncorrectInstanceState": _STATE,
    "IncorrectSpotRequestState": _STATE,
    "ConcurrentTagAccess": _STATE,
}
_BY_PREFIX: tuple[tuple[str, _Refusal], ...] = (
    ("InvalidAMI", _NO_IMAGE),
    ("InvalidSubnet", _NO_SUBNET),
    ("InvalidVpc", _NO_VPC),
    ("InvalidGroup", _NO_GROUP),
    ("InvalidSecurityGroup", _NO_GROUP),
    ("InvalidIamInstanceProfile", _NO_PROFILE),
    ("InvalidInstanceID", _NOT_THERE),
)
_IN_ZONE = re.compile(r"availability zone", re.IGNORECASE)
_PROFILE = re.compile(r"iam instance ?profile", re.IGNORECASE)
_HIDDEN = (
    (re.compile(r"Encoded authorization failure message:\s*\S+"), ""),
    (re.compile(r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,}\b"), "(key)"),
    (re.compile(r"(?<!\d)\d{12}(?!\d)"), "(account)"),
)


def code_of(error: Exception) -> str:
    """EC2's own word for a refusal; empty where the error is another one."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def plainly(text: str) -> str:
    """A message of AWS without account numbers, key ids and encoded authorization messages."""
    for pattern, instead in _HIDDEN:
        text = pattern.sub(instead, text)
    return text.strip()[:500]


@contextmanager
def told(doing: str) -> Iterator[None]:
    """Errors of boto3 inside leave as ours: AuthError, ProviderError and what descends from it.

    doing: what was tried, with its place, as a sentence may say it: `creating m5.large in us-east-1`.
    """
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise missing() from None
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise refusal(error, doing) from None


def missing() -> ProviderError:
    """The extra is not installed."""
    what = "boto3 is not installed where the server runs"
    return ProviderError(what, mend=MEND_MISSING, retryable="no", disproves="cloud")


def refusal(error: Exception, doing: str) -> SkynbError:
    """Our error for one of boto3's."""
    code = code_of(error)
    if not code:
        return _unsent(error, doing)
    message = str(getattr(error, "response", {}).get("Error", {}).get("Message", ""))
    found = _meaning(code, message, _status(error))
    details: dict[str, Any] = {
        "why": f"AWS says {code}: {plainly(message)}" if message else f"AWS says {code}",
        "mend": found.mend,
    }
    if found.retryable:
        details["retryable"] = found.retryable
    made = _KINDS[found.family](f"{doing}: {found.what}", **details)
    if found.disproves is not None:
        made.disproves = found.disproves
    return made


def _meaning(code: str, message: str, status: int) -> _Refusal:
    if code == "InvalidParameterValue" and _PROFILE.search(message):
        return _NO_PROFILE
    if code == "Unsupported":
        if _IN_ZONE.search(message):
            return _Refusal("provider", "this zone does not have this type", _ELSEWHERE, "zone", "no")
        return _NO_TYPE
    if code in _BY_CODE:
        return _BY_CODE[code]
    for prefix, found in _BY_PREFIX:
        if code.startswith(prefix):
            return found
    if status >= 500 or code in {"InternalError", "InternalFailure", "Unavailable", "ServiceUnavailable"}:
        return _OURS
    return _Refusal("provider", "EC2 refuses", "Read what AWS says, and change the task", None, "no")


def _status(error: Exception) -> int:
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)


def _unsent(error: Exception, doing: str) -> SkynbError:
    """No answer came: no credentials, no region, no connection, or none in time."""
    from botocore import exceptions as boto

    no_keys = (
        boto.NoCredentialsError,
        boto.PartialCredentialsError,
        boto.CredentialRetrievalError,
        boto.ProfileNotFound,
        boto.TokenRetrievalError,
        boto.SSOError,
    )
    if isinstance(error, no_keys):
        return AuthError(f"{doing}: there are no usable AWS credentials", why=plainly(str(error)), mend=_KEYS)
    if isinstance(error, boto.ParamValidationError):
        return ProviderError(f"{doing}: boto3 refuses", why=plainly(str(error)), retryable="no")
    if isinstance(error, boto.NoRegionError):
        mend = "Set AWS_DEFAULT_REGION for the server, or name a region: `--infra aws/us-east-1`"
        return ProviderError(f"{doing}: no region is named", mend=mend, retryable="no")
    mend = "Whether it was done is looked up, and the same call is made again by itself"
    return ProviderError(f"{doing}: AWS did not answer", why=type(error).__name__, mend=mend)
