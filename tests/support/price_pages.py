"""Pages in the shapes that the sources of prices serve, written anew."""

from __future__ import annotations

import csv
import io
import json

from tests.support.price_server import PriceServer, zipped

GPUHUNT = "dstack-gpu-pricing.s3.eu-west-1.amazonaws.com/v3"
AWS = "pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonEC2/current"
AZURE = "prices.azure.com/api/retail/prices"
_GPUHUNT_COLUMNS = """instance_name location price cpu memory gpu_count gpu_name gpu_memory spot disk_size
    gpu_vendor flags cpu_arch provider_data"""
_AWS_COLUMNS = """SKU,OfferTermCode,RateCode,TermType,PriceDescription,Unit,PricePerUnit,Currency,serviceCode,
Tenancy,vCPU,Memory,GPU,CapacityStatus,MarketOption,Instance Type,Operating System,Pre Installed S/W,
Region Code"""


def item(name: str, location: str, price: object, **changes: object) -> dict[str, object]:
    """An item of gpuhunt's: a plain machine, on demand."""
    plain = {
        "cpu": 8,
        "memory": 32.0,
        "gpu_count": 0,
        "gpu_name": "",
        "gpu_memory": "",
        "spot": "False",
        "disk_size": "",
        "gpu_vendor": "",
        "flags": "",
        "cpu_arch": "x86",
        "provider_data": "{}",
    }
    return {"instance_name": name, "location": location, "price": price} | plain | changes


def gpuhunt_csv(items: list[dict[str, object]], columns: list[str] | None = None) -> str:
    """The file of one provider."""
    text = io.StringIO()
    writer = csv.DictWriter(
        text, columns or _GPUHUNT_COLUMNS.split(), lineterminator="\r\n", extrasaction="ignore"
    )
    writer.writeheader()
    writer.writerows(items)
    return text.getvalue()


def gpuhunt(
    server: PriceServer, provider: str, items: list[dict[str, object]], version: str = "20261120-42"
) -> None:
    """Serve a provider's version and archive."""
    server.put(f"{GPUHUNT}/{provider}/version", f"{version}\n")
    body = zipped({f"{provider}.csv": gpuhunt_csv(items)})
    server.put(f"{GPUHUNT}/{provider}/{version}/catalog.zip", body, kind="application/zip")


def aws_row(name: str, price: object, **changes: object) -> dict[str, object]:
    """A row of AWS's list that counts: Linux, shared, used, on demand."""
    plain = {
        "TermType": "OnDemand",
        "Unit": "Hrs",
        "PricePerUnit": price,
        "Currency": "USD",
        "Tenancy": "Shared",
        "vCPU": 4,
        "Memory": "16 GiB",
        "CapacityStatus": "Used",
        "MarketOption": "OnDemand",
        "Instance Type": name,
        "Operating System": "Linux",
        "Pre Installed S/W": "NA",
    }
    return plain | changes


def aws_csv(rows: list[dict[str, object]], columns: list[str] | None = None) -> str:
    """The file of one region: five lines about it, the head, the rows, everything quoted."""
    text = io.StringIO()
    plain = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    about = {
        "FormatVersion": "v1.0",
        "Disclaimer": "For information.",
        "Publication Date": "2026-11-21T20:41:33Z",
        "Version": "20261121204133",
        "OfferCode": "AmazonEC2",
    }
    plain.writerows(about.items())
    writer = csv.DictWriter(
        text,
        columns or _AWS_COLUMNS.replace("\n", "").split(","),
        restval="",
        quoting=csv.QUOTE_ALL,
        lineterminator="\n",
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def aws(server: PriceServer, regions: dict[str, list[dict[str, object]]], etag: str | None = None) -> None:
    """Serve AWS's index and a list a region."""
    index = {
        name: {"regionCode": name, "currentVersionUrl": f"/offers/v1.0/aws/AmazonEC2/1/{name}/index.json"}
        for name in regions
    }
    server.put(f"{AWS}/region_index.json", json.dumps({"formatVersion": "v1.0", "regions": index}))
    for name, rows in regions.items():
        server.put(f"{AWS}/{name}/index.csv", aws_csv(rows), kind="text/csv", etag=etag)


def azure_item(name: str, region: str, price: object, **changes: object) -> dict[str, object]:
    """An item of Azure's prices: a Linux machine, on demand."""
    plain = {
        "currencyCode": "USD",
        "retailPrice": price,
        "unitPrice": price,
        "armRegionName": region,
        "effectiveStartDate": "2025-05-01T00:00:00Z",
        "meterName": name.removeprefix("Standard_"),
        "productName": "Virtual Machines Series",
        "serviceName": "Virtual Machines",
        "unitOfMeasure": "1 Hour",
        "type": "Consumption",
        "armSkuName": name,
    }
    return plain | changes


def azure_page(items: list[dict[str, object]], following: str | None = None) -> str:
    """One page, and where the next one is."""
    page = {"BillingCurrency": "USD", "Items": items, "NextPageLink": following, "Count": len(items)}
    return json.dumps(page)
