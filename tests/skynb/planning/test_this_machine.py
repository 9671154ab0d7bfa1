from __future__ import annotations

import os
import subprocess
from datetime import datetime, timezone

import pytest

from skynb.errors import NoOfferError
from skynb.planning import plan, this_machine


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """Put a program called nvidia-smi on PATH that says what the test wants, or none."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def says(script: str) -> None:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return says


def test_a_machine_without_gpus(driver):
    """Cores and memory of this machine, free, dated today, from `this machine`."""
    machine = this_machine()
    assert (machine.cloud, machine.instance_type, machine.region) == ("local", "this-machine", None)
    assert machine.vcpus == os.cpu_count()
    assert machine.memory_gib > 0.1
    assert (machine.accelerator, machine.accelerator_count) == (None, None)
    assert (machine.hourly_micro, machine.source) == (0, "this machine")
    assert machine.as_of == datetime.now(timezone.utc).date().isoformat()


def test_its_gpus_come_from_the_driver(driver):
    """Names map through the vocabulary; of mixed GPUs the most frequent kind counts."""
    driver(
        "echo 'NVIDIA A100-SXM4-80GB, 81920 MiB'; echo 'NVIDIA L4, 23034 MiB'; echo 'NVIDIA L4, 23034 MiB'"
    )
    machine = this_machine()
    assert (machine.accelerator, machine.accelerator_count, machine.accelerator_memory_gib) == ("L4", 2, 24)


@pytest.mark.parametrize("script", ["exit 9", "echo No devices were found", "echo 'Unheard Of, 1 MiB'"])
def test_a_broken_driver_means_no_gpu(driver, script):
    """Whatever the program says or fails with, the machine is still there."""
    driver(script)
    assert this_machine().accelerator is None


def test_a_driver_that_hangs_is_left(driver, monkeypatch):
    """The question is bounded in time; no answer means no GPU."""
    driver("exit 0")

    def hangs(command, *, timeout, **_):
        assert timeout <= 5
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", hangs)
    assert this_machine().accelerator is None


def test_infra_local_means_this_machine_alone(shipped, say, driver):
    """No default size, no cloud: one candidate, for nothing, never stale."""
    found = plan(say.task(say.Item(infra=say.at("LOCAL"))), catalog=shipped, clouds=["aws"])
    assert (found.choice.cloud, found.hourly_micro, found.alternatives, found.tasks[0].stale) == (
        "local",
        0,
        (),
        (),
    )


def test_local_is_no_candidate_unless_it_is_named_or_passed(shipped, say, driver):
    """A free machine must not win by accident."""
    assert plan(say.task(), catalog=shipped).choice.cloud != "local"
    passed = say.offer(cloud="local", region=None, instance_type="this-machine", hourly_micro=0, vcpus=2.0)
    assert plan(say.task(), catalog=shipped, extra_offers=[passed]).choice.cloud == "local"


def test_local_gives_at_least_what_is_asked(shipped, say, driver):
    """Two L4: one or two may be asked, a third is refused with what is there."""
    driver("echo 'NVIDIA L4, 23034 MiB'; echo 'NVIDIA L4, 23034 MiB'")
    for count in (1, 2):
        assert plan(say.task(say.gpu("L4", count, "local")), catalog=shipped).choice.accelerator == "L4"
    with pytest.raises(NoOfferError, match="L4:2"):
        plan(say.task(say.gpu("L4", 3, "local")), catalog=shipped)
    with pytest.raises(NoOfferError, match="vCPUs"):
        plan(
            say.task(say.Item(infra=say.at("local"), cpus=say.Quantity(100_000, at_least=True))),
            catalog=shipped,
        )
