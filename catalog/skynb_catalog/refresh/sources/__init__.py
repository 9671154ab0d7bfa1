"""The sources of prices, in the order in which they are laid over each other: the last one's price stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skynb_catalog.refresh.sources.aws_bulk import AwsBulk
from skynb_catalog.refresh.sources.aws_spot import AwsSpot
from skynb_catalog.refresh.sources.azure_retail import AzureRetail
from skynb_catalog.refresh.sources.fluidstack import Fluidstack
from skynb_catalog.refresh.sources.gcp_skus import GcpSkus
from skynb_catalog.refresh.sources.gpuhunt import Gpuhunt
from skynb_catalog.refresh.sources.hyperbolic import Hyperbolic
from skynb_catalog.refresh.sources.lambda_cloud import Lambda
from skynb_catalog.refresh.sources.oci import Oci
from skynb_catalog.refresh.sources.primeintellect import PrimeIntellect
from skynb_catalog.refresh.sources.runpod import Runpod
from skynb_catalog.refresh.sources.shadeform import Shadeform
from skynb_catalog.refresh.sources.vast import Vast

if TYPE_CHECKING:
    from skynb_catalog.refresh.source import Source

SOURCES: tuple[Source, ...] = (
    Gpuhunt(),
    AwsBulk(),
    AzureRetail(),
    GcpSkus(),
    Oci(),
    Lambda(),
    Runpod(),
    Vast(),
    Fluidstack(),
    Shadeform(),
    Hyperbolic(),
    PrimeIntellect(),
    AwsSpot(),
)
