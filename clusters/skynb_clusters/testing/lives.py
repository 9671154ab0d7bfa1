"""Conformance: how machines come, are seen, and go."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import pytest

from skynb.errors import AuthError, ProviderError, SkynbError, UnsupportedError
from skynb_clusters.contract import Machine, MachineState
from skynb_clusters.testing.account import GONE, Account, AccountTests

REFUSALS = (ProviderError, AuthError, UnsupportedError)


class LifeTests(AccountTests):
    """Idempotent deeds, honest lists."""

    def test_the_same_token_is_the_same_machine(self, account: Account) -> None:
        """Asked twice with one token, the infra holds one machine."""
        request = account.request(token="", **{"skynb-record": "node-twice-0"})
        first, second = account.provider.create(request), account.provider.create(request)
        assert first.id == second.id
        account.wait(first, "running")
        assert len(account.seen({"skynb-record": "node-twice-0"})) == 1

    def test_the_same_token_at_once_is_the_same_machine(self, account: Account) -> None:
        """Asked from two threads at once with one token, the infra holds one machine."""
        request = account.request(**{"skynb-record": "node-threads-0"})
        with ThreadPoolExecutor(2) as pool:
            ids = {machine.id for machine in pool.map(account.provider.create, [request, request])}
        assert len(ids) == 1
        assert len(account.seen({"skynb-record": "node-threads-0"})) <= 1

    def test_the_same_token_after_a_restart_is_the_same_machine(self, account: Account) -> None:
        """A provider made anew knows the token: nothing of it was in memory alone."""
        again = self.remade(account.provider)
        if again is None:
            pytest.skip("no hook `remade`")
        request = account.request()
        assert account.provider.create(request).id == again.create(request).id

    def test_a_create_whose_answer_was_lost_is_found_by_its_token(self, account: Account) -> None:
        """The deed was done and the answer lost: asking again gives that machine, and there is only one."""
        losing = self.losing(account.provider, "create")
        if losing is None:
            pytest.skip("no hook `losing`")
        request = account.request(**{"skynb-record": "node-lost-0"})
        with losing, pytest.raises(REFUSALS):
            account.provider.create(request)
        made = account.provider.create(request)
        account.wait(made, "running")
        assert [machine.id for machine in account.seen({"skynb-record": "node-lost-0"})] == [made.id]

    def test_tags_are_part_of_the_create(self, account: Account) -> None:
        """What `create` answers bears every tag, and no list ever shows the machine without them."""
        request = account.request(**{"skynb-record": "node-tags-0", "skynb-generation": "1"})
        made = account.provider.create(request)
        assert request.tags.items() <= made.tags.items()
        account.wait(made, "pending", "running")
        found = account.find(made)
        assert found is not None
        assert request.tags.items() <= found.tags.items()
        assert found.token == request.token

    def test_a_list_is_exact(self, account: Account) -> None:
        """Machines that bear all the tags, and no others: not fewer tags, not another's value."""
        one = account.create(**{"skynb-record": "node-exact-0", "skynb-rank": "0"})
        two = account.create(**{"skynb-record": "node-exact-0", "skynb-rank": "1"})

        def ids(**tags: str) -> set[str]:
            return {machine.id for machine in account.seen({f"skynb-{key}": tags[key] for key in tags})}

        assert ids(record="node-exact-0") == {one.id, two.id}
        assert ids(record="node-exact-0", rank="1") == {two.id}
        assert ids(record="node-exact-00") == set()
        assert ids(record="node-exact-0", rank="0", generation="9") == set()

    def test_a_list_of_a_region_shows_that_region(self, account: Account, machine: Machine) -> None:
        """A machine is in the list of its own region."""
        region = account.request().region
        assert machine.id in {one.id for one in account.seen(region=region)}

    def test_states_are_words_of_the_contract(self, account: Account, machine: Machine) -> None:
        """Whatever is listed is in one of the six states, and a running machine has an address."""
        states = [one.state for one in account.provider.list({}).machines]
        assert set(states) <= set(get_args(MachineState))
        found = account.find(machine)
        assert found is not None
        assert found.state == "running"
        assert found.address

    def test_an_ended_machine_is_gone_within_the_window(self, account: Account) -> None:
        """After `terminate` no list shows it alive; ending it again, or what never was, does nothing."""
        made = account.create()
        account.provider.terminate(made)
        account.wait(made, *GONE)
        account.provider.terminate(made)
        account.provider.terminate(_nobody(made))
        assert account.state(made) in GONE

    def test_an_end_whose_answer_was_lost_is_an_end(self, account: Account) -> None:
        """The deed was done and the answer lost: asking again is no error."""
        losing = self.losing(account.provider, "terminate")
        if losing is None:
            pytest.skip("no hook `losing`")
        made = account.create()
        with losing, pytest.raises(REFUSALS):
            account.provider.terminate(made)
        account.provider.terminate(made)
        account.wait(made, *GONE)

    def test_stop_keeps_the_disk_and_start_brings_it_back(self, account: Account) -> None:
        """A file outlives stop and start; either twice does nothing. What cannot stop refuses."""
        made = account.create()
        if not account.provider.capabilities.stop:
            with pytest.raises(REFUSALS):
                account.provider.stop(made)
            return
        _shell(account, made, "echo kept > kept-file")
        for _ in range(2):
            account.provider.stop(made)
            account.wait(made, "stopped")
        for _ in range(2):
            account.provider.start(made)
            account.wait(made, "running")
        found = account.find(made)
        assert found is not None
        assert _shell(account, found, "cat kept-file") == b"kept\n"

    def test_what_cannot_be_seen_is_not_absent(self, account: Account, machine: Machine) -> None:
        """A list that saw nothing raises, or says to what it was blind; it is never just empty."""
        blinded = self.blinded(account.provider)
        if blinded is None:
            pytest.skip("no hook `blinded`")
        with blinded:
            try:
                listing = account.provider.list({})
            except REFUSALS:
                return
            assert listing.blind or machine.id in {one.id for one in listing.machines}

    def test_a_machine_killed_from_outside_is_seen_to_be(self, account: Account) -> None:
        """Nobody asked: the list shows it off or gone all the same."""
        made = account.create()
        if not self.cut_power(account.provider, made):
            pytest.skip("no hook `cut_power`")
        account.wait(made, "stopped", *GONE)

    def test_what_is_not_there_is_refused_by_a_known_error(self, account: Account, machine: Machine) -> None:
        """Starting a machine that never was raises an error of the one tree, without a secret."""
        with pytest.raises(SkynbError) as caught:
            account.provider.start(_nobody(machine))
        assert isinstance(caught.value, REFUSALS)
        self._assert_no_secret(str(caught.value.to_dict()))

    def test_check_never_raises(self, account: Account) -> None:
        """A line each account or region, with a mend where it is not fine, and no secret."""
        for line in account.provider.check():
            assert line.infra.startswith(account.provider.name)
            assert line.ok or line.detail
            self._assert_no_secret(f"{line.detail} {line.mend}")

    def test_offers_can_be_planned(self, account: Account) -> None:
        """Each names its machine, costs nothing less than nothing, and its type."""
        for offer in account.provider.offers():
            assert offer.instance_type
            assert offer.hourly_micro >= 0

    def test_capabilities_are_plain(self, account: Account) -> None:
        """Windows are not negative; what gives no notice has no command that prints one."""
        able = account.provider.capabilities
        assert min(able.consistency_s, able.notice_s, able.list_every_s) >= 0

    def _assert_no_secret(self, text: str) -> None:
        found: Sequence[str] = [secret[:4] + "..." for secret in self.secrets if secret in text]
        assert not found


def _nobody(like: Machine) -> Machine:
    """A machine that never was, named as this infra names them."""
    return Machine(id=f"{like.id[:-4]}0000", token="nobody", state="running", tags={}, place=like.place)


def _shell(account: Account, machine: Machine, script: str) -> bytes:
    process = account.provider.transport(machine).exec(["/bin/sh", "-c", script])
    try:
        process.stdin.close()
        output = process.stdout.read()
        assert process.wait(30) == 0, process.stderr_tail()
        return output
    finally:
        process.close()
