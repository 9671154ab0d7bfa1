"""Secrets come in by every door and leave by none: of each way in a value is searched at each way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from skynb.client import server
from skynb.errors import SkynbError
from tests.support.site import Site, site, until

WORDS = {
    "a task's secret": "canary-task-7c1f0b",
    "a secret of the command line": "canary-line-90ae31",
    "a secret of a refused task": "canary-refused-2f6b7d",
    "a secret under a bad name": "canary-name-5518fe",
    "a token in an address": "canary-url-c04d92",
    "a registry's password": "canary-registry-1b7a60",
    "an AWS key of the server": "canary-awskey-e8820c",
    "an AWS session of the server": "canary-session-64d3af",
    "an API key of the server": "canary-apikey-3ac915",
    "a pool's password": "canary-pool-b27e44",
}
INTO_SERVER = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": WORDS["an AWS key of the server"],
    "AWS_SESSION_TOKEN": WORDS["an AWS session of the server"],
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",  # nobody listens there
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "RUNPOD_API_KEY": WORDS["an API key of the server"],
}
POOL = "far: {hosts: [{ip: 127.0.0.1, port: 9, user: me, password: PASSWORD}]}\n"


@pytest.fixture(scope="module")
def lived():
    """What was said at every way out after a life with all the secrets, as bytes."""
    before = {name: os.environ.get(name) for name in INTO_SERVER}
    os.environ.update(INTO_SERVER)
    try:
        with site() as here:
            (here.home / "ssh_pools.yaml").write_text(POOL.replace("PASSWORD", WORDS["a pool's password"]))
            (here.home / "ssh_pools.yaml").chmod(0o600)
            yield _life(here)
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _life(here: Site) -> dict[str, bytes]:
    told: list[str] = []
    config = {"secrets": {"KEY": WORDS["a task's secret"]}, "run": 'test -n "$KEY" && echo had it'}
    number = here.launch("box", **config).job
    until(lambda: here.job("box", number).logs_complete)
    assert here.log("box", number) == "had it\n", "the job itself had its secret"
    line = ["exec", "box", "--secret", f"KEY={WORDS['a secret of the command line']}", 'test -n "$KEY"']
    shell = _run(*line)
    assert "SUCCEEDED" in shell, shell
    for attempt in _refused(here):
        with pytest.raises(SkynbError) as refused:
            attempt()
        told += [str(refused.value), repr(refused.value), json.dumps(refused.value.to_dict())]
    lines = (
        "status",
        "queue",
        "why box",
        "events box",
        "cost",
        "check",
        "reap",
        "status -o json",
        "check -o json",
    )
    shown = "".join(_run(*one.split()) for one in lines)
    answers = json.dumps(
        [
            here.http.call("GET", path, object)
            for path in ("/clusters", "/clusters/box/jobs", "/clusters/box", "/cost", "/machines", "/check")
        ],
        default=repr,
    )
    events = "".join(str(event) for event in here.http.stream("/events", {"follow": "0"}))
    logs = b"".join(path.read_bytes() for path in here.home.rglob("*.log"))
    assert logs, "there are logs to look at"
    return {
        "the ledger": _bytes(here.home, "ledger*"),
        "the logs": logs,
        "kept outputs of jobs": _bytes(here.home / "logs", "**/*"),
        "kept files of jobs": _bytes(here.home / "snapshots", "**/*"),
        "the history": events.encode(),
        "answers of the API": answers.encode(),
        "the command line": (shell + shown).encode(),
        "errors": "\n".join(told).encode(),
        "process arguments": _arguments(here),
        "names of files": "\n".join(map(str, here.home.rglob("*"))).encode(),
    }


def _refused(here: Site) -> list[Callable[[], object]]:
    secret = {"KEY": WORDS["a secret of a refused task"]}
    registry = {"username": "me", "password": WORDS["a registry's password"], "server": "r.example"}
    token = WORDS["a token in an address"]
    address = f"https://me:{token}@example.org/x.git"
    return [
        lambda: here.launch("no", secrets=secret, run="true", resources={"infra": "local", "cpus": "5000+"}),
        lambda: here.launch("no", secrets={"1 BAD": WORDS["a secret under a bad name"]}, run="true"),
        lambda: here.launch("no", workdir={"url": address}, run="true"),
        lambda: here.launch("no", resources={"_docker_login_config": registry}, run="true"),
        lambda: here.launch("no", resources={"infra": "ssh/far"}, run="true"),
        lambda: here.launch("no", resources={"infra": "aws"}, run="true"),
    ]


def _run(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "skynb.cli", *words], capture_output=True, text=True, timeout=90, check=False
    )
    return done.stdout + done.stderr


def _bytes(folder: Path, pattern: str) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob(pattern) if path.is_file())


def _arguments(here: Site) -> bytes:
    found = b""
    for pid in here.processes():
        try:
            found += Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
    return found


OUTS = (
    "the ledger",
    "the logs",
    "kept outputs of jobs",
    "kept files of jobs",
    "the history",
    "answers of the API",
    "the command line",
    "errors",
    "process arguments",
    "names of files",
)


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("way", sorted(WORDS))
def test_a_secret_leaves_by_no_door(lived, way, out):
    """A hundred pairs of a way in and a way out."""
    assert WORDS[way].encode() not in lived[out]


def test_the_search_would_find_one(lived):
    """What is not secret is found at the ways out, so the search looks at the right bytes."""
    assert b"had it" in lived["kept outputs of jobs"]
    assert b"cluster.launch" in lived["the history"]
    for out in ("the ledger", "answers of the API", "the command line"):
        assert b"box" in lived[out], out
    assert b"5000" in lived["errors"]
    assert b"agent" in lived["process arguments"]


def test_the_server_s_token_is_only_in_its_card(lived):
    """Whoever reads a log, the ledger or an answer cannot speak to the server."""
    token = str(server.card()["token"]).encode()
    assert [out for out, text in lived.items() if token in text] == []
