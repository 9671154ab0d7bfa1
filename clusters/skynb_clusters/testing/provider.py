"""The whole suite in one class."""

from __future__ import annotations

from skynb_clusters.testing.insides import InsideTests
from skynb_clusters.testing.lives import LifeTests


class ProviderConformance(LifeTests, InsideTests):
    """Inherit, and give the class-scoped fixtures `provider` and `request_for`.

    provider: the Provider under test, in an account where machines may be made and ended. request_for(token,
    tags): a NodeRequest for the smallest machine there, with exactly this token and these tags. The hooks
    `remade`, `losing`, `blinded` and `cut_power` unlock the tests that need them; `patience_s` is how long a
    machine may take, `secrets` what no text may show. Every machine of a run bears the tag `skynb-owner` of
    that run and is ended when the class is done, also after failures.
    """
