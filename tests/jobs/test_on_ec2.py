"""Managed jobs on EC2 whose instances are real hosts: names within a group, recovery after a restart."""

from __future__ import annotations

import pytest

from skynb import jobs
from tests.support.ec2 import ec2
from tests.support.hosts import lab_missing
from tests.support.site import site, until

pytestmark = [
    pytest.mark.skipif(bool(lab_missing()), reason=f"no machines here: {lab_missing()}"),
    pytest.mark.timeout(300),
]
GROUP = """
name: pair
execution: parallel
primary_tasks: [asks]
---
name: asks
num_nodes: 2
resources: {infra: aws/us-east-1, instance_type: m5.large}
run: |
  getent hosts answers-0.pair
  ssh-keyscan -T 5 answers-0.pair 2>/dev/null | grep -c .
---
name: answers
resources: {infra: aws/us-east-1, instance_type: m5.large}
run: getent hosts asks-1.pair; sleep 600
"""


@pytest.fixture
def cloud():
    with ec2(hosts=True) as made, made.around(), site() as here:
        yield made, here


def test_machines_of_a_group_resolve_each_other(cloud):
    """Each node of each job finds those of the others before its script begins; the addresses are right."""
    amazon, _ = cloud
    handle = jobs.launch(GROUP)
    (job,) = handle.result(timeout=200)
    address = {one["PrivateIpAddress"] for one in amazon.instances(living=False)}
    asked = list(jobs.tail_logs(job.id, task="asks"))
    found = [line.split() for line in asked if "answers-0.pair" in line]
    assert len(found) == 2, asked
    assert {line[-2] for line in found} <= address
    assert sum(line.split()[-1].isdigit() and int(line.split()[-1]) > 0 for line in asked) >= 2, asked
    told = list(jobs.tail_logs(job.id, task="answers", follow=False))
    assert any(line.endswith("asks-1.pair") for line in told), told


def test_a_new_server_recovers_a_job_before_anybody_asks_it_anything(cloud):
    """It knows nothing yet of what its clouds have, and finds out by itself."""
    amazon, here = cloud
    wish = {"infra": "aws/us-east-1", "instance_type": "m5.large"}
    script = '[ "$SKYNB_ATTEMPT" = 2 ] || sleep 600; echo done'
    handle = jobs.launch({"name": "alone", "resources": wish, "run": script})
    until(lambda: jobs.get(handle.job_id).status == "RUNNING", 90)
    here.kill_server()
    (instance,) = amazon.instances()
    amazon.set(interrupt=instance["InstanceId"])
    (job,) = handle.wait(timeout=120)
    assert (job.status, job.recoveries) == ("SUCCEEDED", 1)
