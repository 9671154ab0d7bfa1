"""Tasks in the environment of whoever asks, for the platform that each is planned to run on."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from skynb.client.sdk import connection
from skynb.client.tasks import packed
from skynb.wire import ManagedAnswer, ManagedRequest

if TYPE_CHECKING:
    from skynb.environment import Environment
    from skynb.spec import Task


def this_environment() -> Environment:
    """This interpreter's, with the loose modules that it has imported."""
    from skynb.environment import read

    return read({name.partition(".")[0] for name in sys.modules})


@contextmanager
def in_environment(
    tasks: Sequence[Task], asked: bool | Environment, without: Sequence[str]
) -> Iterator[Sequence[Task]]:
    """The tasks as they are to be sent, while their files are there. Nothing is rented before all can be had.

    asked: False leaves tasks as they are, True is this interpreter's environment. SpecError,
    UnsupportedError.
    """
    if asked is False:
        yield tasks
        return
    from skynb.environment import carried, locked

    here = this_environment() if asked is True else asked
    with ExitStack() as sent:
        yield [sent.enter_context(carried(task, here, locked(here, _arch(task), without))) for task in tasks]


def _arch(task: Task) -> str | None:
    """The architecture of the first choice; None for nodes that are of this machine, or only play others."""
    config, secrets = packed(task)
    request = ManagedRequest(tasks=[config], secrets=[secrets], dryrun=True)
    (plan,) = connection().call("POST", "/jobs", ManagedAnswer, body=request).plans
    choice = plan["tasks"][0]["choice"]
    if choice["cloud"].split("/")[0] in ("local", "sim"):
        return None
    return choice["arch"] or "x86_64"
