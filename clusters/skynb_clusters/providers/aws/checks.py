"""What `skynb check` says of AWS: credentials, region, permission to run a machine."""

from __future__ import annotations

from collections.abc import Sequence

from skynb.errors import AuthError, ProviderError
from skynb_clusters.contract import Check, NodeRequest
from skynb_clusters.providers.aws.clients import Clients
from skynb_clusters.providers.aws.images import Images
from skynb_clusters.providers.aws.refusals import code_of, plainly, told

_PROBE = NodeRequest(token="", name="check", tags={}, instance_type="t3.micro")


def checks(clients: Clients, images: Images) -> Sequence[Check]:
    """One line: the identity and the region, or the first thing that is missing and its mend."""
    try:
        who = _identity(clients)
        region = clients.region()
        _may_run(clients, images, region)
    except (AuthError, ProviderError) as error:
        detail = f"{error.what} ({error.why})" if error.why else error.what
        return (Check(infra="aws", ok=False, detail=detail, mend=error.mend or ""),)
    return (Check(infra="aws", ok=True, detail=f"{who}, usual region {region}"),)


def _identity(clients: Clients) -> str:
    """The name of the user or role, without the account's number."""
    with told("asking AWS who we are"):
        arn = str(clients.sts().get_caller_identity()["Arn"])
    return plainly(arn.rpartition(":")[2])


def _may_run(clients: Clients, images: Images, region: str) -> None:
    """A dry run of the one call that costs money; EC2 answers a permitted one with an error as well."""
    from botocore.exceptions import ClientError

    image = images.choose(_PROBE, region)
    with told(f"trying to run a machine in {region}"):
        try:
            clients.ec2(region).run_instances(
                DryRun=True, MinCount=1, MaxCount=1, ImageId=image.id, InstanceType=_PROBE.instance_type
            )
        except ClientError as error:
            if code_of(error) != "DryRunOperation":
                raise
