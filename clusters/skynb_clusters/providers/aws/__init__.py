"""Infra `aws`: EC2 instances. Start reading at `provider.py`; boto3 is imported when it is first used."""

from __future__ import annotations

from skynb_clusters.providers.aws.provider import AwsProvider

__all__ = ["AwsProvider"]
