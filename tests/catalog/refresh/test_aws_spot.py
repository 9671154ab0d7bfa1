"""AWS's spot prices, asked with boto3 of a server that answers as EC2 does."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from skynb_catalog.refresh.sources.aws_spot import AwsSpot

_NS = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'


def answer(action, inner):
    return f"<{action}Response {_NS}><requestId>r</requestId>{inner}</{action}Response>".encode()


def price(zone, kind, dollars, product="Linux/UNIX"):
    return (
        f"<item><instanceType>{kind}</instanceType><productDescription>{product}</productDescription>"
        f"<spotPrice>{dollars}</spotPrice><timestamp>2026-11-22T04:32:53.000Z</timestamp>"
        f"<availabilityZone>{zone}</availabilityZone></item>"
    )


@pytest.fixture
def ec2(server, monkeypatch, tmp_path):
    """EC2 of an account whose us-east-1a is use1-az2; two pages of prices."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    zones = "".join(
        f"<item><zoneName>us-east-1{letter}</zoneName><zoneId>{zone}</zoneId></item>"
        for letter, zone in (("a", "use1-az2"), ("b", "use1-az1"))
    )
    first = price("us-east-1a", "m.large", "0.160000") + price("us-east-1b", "m.large", "0.1", "Windows")
    second = price("us-east-1b", "m.large", "0.140000") + price("us-east-1z", "m.large", "0.000001")
    second += price("us-east-1a", "p5.48xlarge", "20.5")
    history = "DescribeSpotPriceHistory"
    answers = {
        ("DescribeRegions", ""): "<regionInfo><item><regionName>us-east-1</regionName></item></regionInfo>",
        ("DescribeAvailabilityZones", ""): f"<availabilityZoneInfo>{zones}</availabilityZoneInfo>",
        (history, ""): f"<spotPriceHistorySet>{first}</spotPriceHistorySet><nextToken>two</nextToken>",
        (history, "two"): f"<spotPriceHistorySet>{second}</spotPriceHistorySet><nextToken></nextToken>",
    }

    def script(handler):
        asked = parse_qs(server.bodies[-1].decode())
        action = asked["Action"][0]
        body = answer(action, answers[action, asked.get("NextToken", [""])[0]])
        handler.send_response(200)
        handler.send_header("Content-Type", "text/xml")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    server.put("", script=script)
    return AwsSpot(endpoint=server.mirror)


@pytest.mark.usefixtures("shipped_few")
def test_spot_prices_land_by_zone_id(ec2, run, rows):
    """The account's names of zones become ids; pages are followed; other products do not count."""
    report = run("aws", sources=[ec2])
    assert report.ok
    found = rows("aws")
    assert found["us-east-1", "use1-az2", "m.large"].spot_hourly_micro == 160_000
    assert found["us-east-1", "use1-az1", "m.large"].spot_hourly_micro == 140_000
    row = found["us-east-1", "use1-az2", "p5.48xlarge"]  # known for the region only, so far
    assert (row.hourly_micro, row.spot_hourly_micro, row.accelerator) == (55_000_000, 20_500_000, "H100")
    assert row.spot_as_of == report.collected
    assert row.as_of == "2026-01-01"
    assert report.sources[0].refused == {"a zone that the account does not list": 1}


@pytest.mark.usefixtures("shipped_few")
def test_what_ec2_refuses_is_told_by_its_code(ec2, run, server):
    """No rights: the code and the region, without what boto quotes."""
    refusal = (
        b"<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>very-secret</Message></Error>"
    )
    server.put("", refusal + b"</Errors></Response>", status=403, kind="text/xml")
    report = run("aws", sources=[ec2])
    assert report.sources[0].failures == (("", "EC2 answered UnauthorizedOperation for regions"),)
    assert "very-secret" not in repr(report)


def test_without_credentials_it_waits(monkeypatch, tmp_path):
    """It says what to set."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    assert "AWS_ACCESS_KEY_ID" in str(AwsSpot().needs())
