"""The API keeps strangers out, answers mistakes clearly, and does what was asked once."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from skynb.client import server
from skynb.wire import API_PREFIX, KEY_HEADER, VERSION_HEADER
from skynb_jupyter.routes import ROUTES
from tests.support.site import until

BAD = yaml.safe_load((Path(__file__).parent / "bad_requests.yaml").read_text())
PATHS = sorted(
    {(route.method, route.path.format(cluster="c", job=1, kernel=1, pool="p")) for route in ROUTES}
    | {("GET", "/openapi.json"), ("GET", "/events"), ("GET", "/clusters/c/events")}
    | {("GET", "/clusters/c/kernels/1/channel"), ("GET", "/clusters/c/dask/dashboard")}
    | {("GET", "/clusters/c/jobs/1/logs"), ("GET", "/nowhere"), ("PUT", "/clusters")}
)


def state(face) -> tuple:
    """Everything a refused request must leave alone."""
    _, clusters, _ = face.ask("GET", f"{API_PREFIX}/clusters?ended=1")
    _, events, _ = face.ask("GET", f"{API_PREFIX}/events?follow=0")
    return json.dumps(clusters), events


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("token", [None, "wrong"])
def test_no_path_answers_a_stranger(face, method, path, token):
    """skypilot#10409: loopback is no excuse: without the token every verb of every path is refused."""
    status, body, _ = face.ask(method, API_PREFIX + path, b"{}" if method != "GET" else None, token=token)
    assert status == 403
    assert "clusters" not in json.dumps(body)


@pytest.mark.parametrize(
    "path", ["/api/kernels", "/api/contents", "/api/sessions", "/api/terminals", "/files/ledger.db", "/tree"]
)
def test_jupyters_own_services_are_not_there(face, path):
    """The daemon serves no kernels, no files, no terminals, not even to the owner of the token."""
    status, _, _ = face.ask("GET", path)
    assert status == 404


def test_the_servers_card_and_secrets_are_the_owners_alone(face):
    """Token, key and ledger can be read by nobody else."""
    files = [path for path in face.here.home.rglob("*") if path.is_file() and "local/" not in str(path)]
    assert {"server.json", "key", "server-id"} <= {path.name for path in files}
    for name in files:
        mode = name.stat().st_mode
        assert stat.S_IMODE(mode) & 0o077 == 0, name


def test_only_loopback_listens(face):
    """Every listening socket of the daemon is bound to 127.0.0.1."""
    listing = Path(f"/proc/{face.here.server_pid()}/net/tcp")
    if not listing.exists():
        pytest.skip("needs /proc to list sockets")
    rows = [line.split() for line in listing.read_text().splitlines()[1:]]
    port = f"{face.address.port:04X}"
    bound = [row[1] for row in rows if row[3] == "0A" and row[1].endswith(port)]
    assert bound == [f"0100007F:{port}"]


@pytest.mark.parametrize("case", BAD, ids=[case["id"] for case in BAD])
def test_a_bad_request_gets_one_clear_answer_and_changes_nothing(face, case):
    """A 4xx with what is wrong in words, no traceback, no 5xx; clusters and history stay as they were."""
    before = state(face)
    body = case.get("body")
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
    status, answer, _ = face.ask(case["method"], API_PREFIX + case["path"], data, headers=case.get("headers"))
    assert status == case.get("status", 400), answer
    error = answer["error"]
    text = json.dumps(error)
    for fragment in case["says"]:
        assert fragment.lower() in text.lower(), text
    assert "Traceback" not in text
    assert state(face) == before


def test_an_unknown_body_is_a_4xx_whatever_it_is(face):
    """Random shapes of JSON at every route that takes a body: refused by name, never a 5xx."""
    shapes = [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"x"',
        b"{",
        b"\xff\xfe",
        b"[" * 5000,
        b'{"task": 3}',
        b'{"task": []}',
    ]
    for route in ROUTES:
        if route.body is None:
            continue
        for shape in shapes:
            status, body, _ = face.ask(
                route.method, API_PREFIX + route.path.format(cluster="none", job=1, pool="none"), shape
            )
            assert 400 <= status < 500, (route.path, shape[:20], status, body)
            assert body["error"]["what"]


def test_versions_meet_politely(face):
    """The server names its version; a newer client is served; nonsense is refused in words."""
    status, _, headers = face.ask("GET", f"{API_PREFIX}/health", headers={VERSION_HEADER: "2"})
    assert (status, headers[VERSION_HEADER]) == (200, "1")
    status, body, _ = face.ask("GET", f"{API_PREFIX}/health", headers={VERSION_HEADER: "0"})
    assert status == 400
    assert "upgrade the client" in body["error"]["what"]
    status, _, _ = face.ask("GET", f"{API_PREFIX}/health", headers={VERSION_HEADER: "x"})
    assert status == 400


def test_the_document_describes_every_route(face):
    """OpenAPI names each path and verb of the table, and every reference in it leads somewhere."""
    _, document, _ = face.ask("GET", f"{API_PREFIX}/openapi.json")
    assert document["openapi"].startswith("3.")
    for route in ROUTES:
        assert route.method.lower() in document["paths"][route.path]
    names = document["components"]["schemas"]
    references = {part.split('"')[0] for part in json.dumps(document).split('"#/components/schemas/')[1:]}
    assert references <= set(names)


LAUNCH = {
    "task": {"name": "once", "run": "echo one; echo two", "resources": {"infra": "local"}},
    "cluster_name": "once",
}


@pytest.fixture(scope="module")
def once(face):
    """A cluster launched under a key of its own: the request, and its first answer."""
    body = json.dumps(LAUNCH).encode()
    return body, face.ask("POST", f"{API_PREFIX}/clusters", body, headers={KEY_HEADER: "k1"})


def test_the_same_key_launches_once_also_over_a_killed_server(face, once):
    """dstack#707: the request sent again after a lost answer gives the same answer and no second cluster."""
    body, first = once
    face.here.kill_server()
    again = type(face)(face.here).ask("POST", f"{API_PREFIX}/clusters", body, headers={KEY_HEADER: "k1"})
    assert first[:2] == again[:2]
    face.__init__(face.here)
    job = face.here.jobs("once")
    assert len(job) == 1
    other = json.dumps(LAUNCH | {"cluster_name": "two"}).encode()
    status, answer, _ = face.ask("POST", f"{API_PREFIX}/clusters", other, headers={KEY_HEADER: "k1"})
    assert status == 409
    assert "idempotency key" in answer["error"]["what"]


def test_a_stream_resumes_exactly_behind_the_last_event(face, once):
    """Reading a log from each of its positions gives exactly the rest, no line twice and none missing."""
    until(lambda: face.here.job("once", 1).logs_complete)
    path = f"{API_PREFIX}/clusters/once/jobs/1/logs"
    whole = pieces(face.ask("GET", path)[1])
    assert "".join(text for _, text in whole) == "one\ntwo\n"
    for position, _ in whole:
        _, rest, _ = face.ask("GET", path, headers={"Last-Event-ID": str(position)})
        assert pieces(rest) == [item for item in whole if item[0] > position]


def test_the_log_is_there_after_the_cluster_is_gone(face, once):
    """skypilot#2766: logs, queue and bill can be read after down."""
    until(lambda: face.here.job("once", 1).logs_complete)
    face.here.down("once")
    until(lambda: face.here.cluster("once").final)
    assert face.here.log("once", 1) == "one\ntwo\n"
    assert face.here.job("once", 1).status == "SUCCEEDED"
    _, costs, _ = face.ask("GET", f"{API_PREFIX}/cost")
    assert costs[0]["node_seconds"] > 0


def test_a_second_daemon_leaves_at_once(face):
    """Two daemons for one home: the second exits 0 and the first goes on."""
    second = subprocess.run(
        [sys.executable, "-m", "skynb_jupyter", "--home", str(face.here.home)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 0
    assert "already runs" in second.stderr
    assert face.ask("GET", f"{API_PREFIX}/health")[0] == 200


def test_stopping_says_goodbye_and_starting_finds_everything(face, once):
    """A plain stop removes the card; the next use starts a server that knows the same clusters."""
    assert server.stop()
    assert server.card() is None
    assert not server.stop()
    face.__init__(face.here)
    assert face.here.job("once", 1).name == "once"


def pieces(stream: str) -> list[tuple[int, str]]:
    """(position, text) of the log events of a finished stream."""
    found = []
    for block in stream.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if fields.get("event") == "log":
            found.append((int(fields["id"]), json.loads(fields["data"])["text"]))
    return found


def test_work_that_does_not_fit_a_live_cluster_is_refused(face):
    """More nodes, CPUs or accelerators than it has: a 409 that says what the cluster has; nothing queued."""
    face.here.launch("small", run="true")
    until(lambda: face.here.cluster("small").status == "UP")
    for task in (
        {"run": "true", "num_nodes": 2},
        {"run": "true", "resources": {"cpus": "900+"}},
        {"run": "true", "resources": {"accelerators": "H100:1"}},
    ):
        for path in (f"{API_PREFIX}/clusters", f"{API_PREFIX}/clusters/small/jobs"):
            body = {"task": task, **({"cluster_name": "small"} if path.endswith("clusters") else {})}
            status, answer, _ = face.ask("POST", path, json.dumps(body).encode())
            assert (status, answer["error"]["code"]) == (409, "conflict"), answer
            assert "small" in answer["error"]["what"]
    assert len(face.here.jobs("small")) == 1
    face.here.down("small")
