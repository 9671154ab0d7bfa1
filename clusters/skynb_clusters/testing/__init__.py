"""The conformance suite: what every provider must keep, as tests to inherit. Needs pytest.

    class TestMyCloud(ProviderConformance):
        @pytest.fixture(scope="class")
        @classmethod
        def provider(cls, tmp_path_factory): ...
        @pytest.fixture(scope="class")
        @classmethod
        def request_for(cls): ...

(pytest wants fixtures of a class to be class methods.)

Only tests import this package.
"""

from __future__ import annotations

import pytest

for _part in ("account", "lives", "insides"):  # so that a failure shows both sides
    pytest.register_assert_rewrite(f"{__name__}.{_part}")

from skynb_clusters.testing.provider import ProviderConformance  # noqa: E402 - only what is imported after is rewritten

__all__ = ["ProviderConformance"]
