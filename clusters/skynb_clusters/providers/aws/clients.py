"""Clients of AWS: one a service and region, made once, from boto3's usual credentials."""

from __future__ import annotations

import os
import threading
from typing import Any

from skynb_clusters.providers.aws.refusals import missing, told

CONNECT_SECONDS = 5
READ_SECONDS = 60
ATTEMPTS = 2
FIRST_REGION = "us-east-1"


class Clients:
    """Safe to use from any thread. profile: which credentials, where AWS_PROFILE does not say."""

    def __init__(self, profile: str | None = None) -> None:
        self._profile = None if os.environ.get("AWS_PROFILE") else profile
        self._lock = threading.Lock()
        self._session: Any = None
        self._made: dict[tuple[str, str], Any] = {}

    def ec2(self, region: str) -> Any:
        """EC2 in a region."""
        return self._client("ec2", region)

    def ssm(self, region: str) -> Any:
        """The parameter store in a region."""
        return self._client("ssm", region)

    def sts(self) -> Any:
        """Who we are."""
        return self._client("sts", self.region())

    def region(self) -> str:
        """The usual region of these credentials; where none is named, the one that every account has."""
        with self._lock:
            return str(self._begun().region_name or FIRST_REGION)

    def _client(self, service: str, region: str) -> Any:
        with self._lock:  # making clients is not safe in several threads at once, using them is
            session = self._begun()
            if (service, region) not in self._made:
                from botocore.config import Config

                config = Config(
                    connect_timeout=CONNECT_SECONDS,
                    read_timeout=READ_SECONDS,
                    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
                    user_agent_extra="skynb",
                )
                with told(f"preparing for {region}"):
                    self._made[service, region] = session.client(service, region_name=region, config=config)
            return self._made[service, region]

    def _begun(self) -> Any:
        if self._session is None:
            try:
                import boto3
            except ImportError:
                raise missing() from None
            with told("looking for AWS credentials"):
                self._session = boto3.Session(profile_name=self._profile)
        return self._session
