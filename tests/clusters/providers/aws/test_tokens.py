"""One token, one machine: whatever is lost, killed, repeated or done at once."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from skynb.errors import ProviderError
from skynb_clusters.providers.aws import AwsProvider
from tests.support.ec2 import REGION
from tests.support.house import ROOT
from tests.support.site import until

CHILD = """
import sys
from pathlib import Path
import msgspec
from skynb_clusters.contract import NodeRequest
from skynb_clusters.providers.aws import AwsProvider
AwsProvider(Path(sys.argv[1])).create(msgspec.json.decode(sys.argv[2], type=NodeRequest))
"""


def ids(cloud):
    return [one["InstanceId"] for one in cloud.instances()]


def test_the_same_token_is_the_same_machine(provider, cloud, ask):
    """dstack#707: also from another provider object, as after a restart."""
    request = ask(ports=("80",))
    first = provider.create(request)
    again = AwsProvider(provider._folder).create(request)
    assert (again.id, ids(cloud)) == (first.id, [first.id])


def test_two_at_once_make_one(provider, cloud, ask):
    """Sixteen threads with one token."""
    request = ask()
    with ThreadPoolExecutor(16) as pool:
        made = {machine.id for machine in pool.map(provider.create, [request] * 16)}
    assert made == set(ids(cloud))
    assert len(made) == 1


def test_a_lost_answer_is_found_again(provider, cloud, ask):
    """crabbox#761: the machine is there, nobody heard of it; the token and the tags both find it."""
    request = ask()
    cloud.set(lose={"RunInstances": 2})
    with pytest.raises(ProviderError) as caught:
        provider.create(request)
    assert caught.value.retryable == "unknown"
    (orphan,) = provider.list(request.tags, REGION).machines
    assert orphan.token == request.token
    assert provider.create(request).id == orphan.id


def test_a_killed_caller_leaves_one_machine_at_most(provider, cloud, ask, tmp_path):
    """Kill -9 inside `create`, once the request has arrived; the next process asks with the same token."""
    request = ask()
    provider.create(ask(name="warm"))  # network and key are there, as in a server that runs
    before = len(ids(cloud))
    calls = cloud.set(calls=True)["RunInstances"]
    cloud.set(pending_s=0.2)
    folder = str(tmp_path / "aws")
    argv = [sys.executable, "-c", CHILD, folder, msgspec.json.encode(request).decode()]
    child = subprocess.Popen(argv, cwd=ROOT, env=dict(os.environ), stderr=subprocess.DEVNULL)
    try:
        until(lambda: cloud.set(calls=True)["RunInstances"] > calls, 30)
    finally:
        child.kill()
        child.wait()
    made = provider.create(request)
    assert len(ids(cloud)) == before + 1
    assert made.id in ids(cloud)


def test_other_parameters_under_one_token_find_the_machine(provider, cloud, ask):
    """Ubicloud PR#5898: tags may have moved on since; the machine of the token is the answer."""
    request = ask()
    made = provider.create(request)
    later = msgspec.structs.replace(request, tags={**request.tags, "skynb-lease-until": "2"})
    assert provider.create(later).id == made.id
    assert ids(cloud) == [made.id]


def test_other_parameters_while_the_machine_is_not_seen_are_unknown(provider, cloud, ask):
    """Inside the window of consistency nothing is concluded."""
    request = ask()
    provider.create(request)
    cloud.set(invisible_s=60)
    with pytest.raises(ProviderError) as caught:
        provider.create(msgspec.structs.replace(request, disk_gib=300))
    assert caught.value.retryable == "unknown"


def test_a_token_of_an_ended_machine_is_used_up(provider, cloud, ask):
    """boto3#4406: said so, not retried; a new token makes a new machine."""
    request = ask()
    provider.terminate(provider.create(request))
    with pytest.raises(ProviderError, match="has ended") as caught:
        provider.create(request)
    assert caught.value.retryable == "no"
    assert ids(cloud) == []
    provider.create(ask())


def test_a_refused_token_may_be_used_again(provider, cloud, ask):
    """No capacity made nothing, so the same request may be made later."""
    request = ask()
    cloud.set(no_capacity=[["*", "*"]])
    with pytest.raises(ProviderError):
        provider.create(request)
    cloud.set(no_capacity=[])
    made = provider.create(request)
    assert ids(cloud) == [made.id]
