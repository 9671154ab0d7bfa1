"""AWS's spot prices now, with the user's own credentials: per zone, by the zone's id.

Names of zones differ between accounts, ids do not; the account's own list maps them. boto3 finds the
credentials where it always does, and is imported only here.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from skynb_catalog.refresh.source import Fetched, Known, Source, machine, micro
from skynb_catalog.refresh.web import Web, WebError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from skynb_catalog.offers import Fact


class AwsSpot(Source):
    """See the module. endpoint: where EC2 is, for tests and private endpoints; None: where boto3 knows it."""

    name = "aws-spot"
    clouds = ("aws",)
    seconds = 600.0

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint

    def needs(self) -> str | None:
        try:
            import boto3
        except ImportError:
            return "install skynb[aws]"
        try:
            found = boto3.Session().get_credentials()
        except Exception:  # noqa: BLE001 - a damaged profile raises whatever it likes
            found = None
        return None if found else "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`"

    def units(self, web: Web, known: Known, clouds: frozenset[str]) -> list[str]:
        with _errors("regions"):
            answer = self._client("us-east-1").describe_regions()
        return sorted(str(region["RegionName"]) for region in answer["Regions"])

    def fetch(self, web: Web, unit: str, known: Known, fetched: Fetched) -> Iterator[Fact]:
        with _errors(unit):
            client = self._client(unit)
            zones = client.describe_availability_zones()["AvailabilityZones"]
            ids = {str(zone["ZoneName"]): str(zone["ZoneId"]) for zone in zones}
            pages = client.get_paginator("describe_spot_price_history").paginate(
                ProductDescriptions=["Linux/UNIX"], StartTime=datetime.now(tz=timezone.utc)
            )
            for page in pages:
                web.check()
                yield from parse(unit, page["SpotPriceHistory"], ids, fetched)

    def _client(self, region: str) -> Any:
        import boto3
        from botocore.config import Config

        limits = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "max_attempts": 3})
        return boto3.client("ec2", region_name=region, config=limits, endpoint_url=self._endpoint)


def parse(
    region: str, items: Iterable[dict[str, Any]], ids: dict[str, str], fetched: Fetched
) -> Iterator[Fact]:
    """The rows of one page of the history. ids: of zones, by the account's names."""
    for item in items:
        zone = ids.get(item["AvailabilityZone"])
        price = micro(item["SpotPrice"], fetched)
        if zone is None:
            fetched.refuse("a zone that the account does not list")
        elif price is not None and item["ProductDescription"] == "Linux/UNIX":
            yield machine(
                "aws",
                item["InstanceType"],
                region=region,
                zone=zone,
                spot_hourly_micro=price,
                source="AWS spot price history",
            )


class _errors:  # noqa: N801 - reads as what it does: with _errors(...)
    """boto's errors as ours, by their code: their texts may quote requests."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        if isinstance(error, ClientError):
            code = error.response.get("Error", {}).get("Code", "an error")
            raise WebError(f"EC2 answered {code} for {self._what}") from None
        if isinstance(error, BotoCoreError):
            raise WebError(f"EC2 did not answer for {self._what}", why=type(error).__name__) from None
