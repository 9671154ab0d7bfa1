"""The door in a person's own Jupyter server: its owner's questions pass, strangers' do not."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.error
import urllib.request
from http.cookiejar import CookieJar
from types import SimpleNamespace

import psutil
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.websocket import websocket_connect

from skynb import SkyCluster, __version__
from skynb.client import server as daemon
from skynb.wire import API_PREFIX, KEY_HEADER, VERSION_HEADER
from skynb_jupyter.dashboards import passed_on
from tests.support.jupyter import TOKEN, jupyter
from tests.support.site import site, until

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("door")]
REFUSES = """
from jupyter_server.auth import Authorizer

class Nobody(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return resource != "skynb"
"""


@pytest.fixture(scope="module")
def here():
    with site() as made:
        yield made


@pytest.fixture(scope="module")
def house(here, tmp_path_factory):
    with jupyter(tmp_path_factory.mktemp("jupyter")) as made:
        yield made


def ask(house, method, path, body=None, *, headers=None, token=TOKEN):
    """(status, body as text, headers)."""
    sent = dict(headers or {}) | ({"Authorization": f"token {token}"} if token else {})
    request = urllib.request.Request(house.url + path.lstrip("/"), body, sent, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def test_it_says_its_version_before_any_server_runs(house):
    """What the panel compares with its own; asking starts nothing."""
    daemon.stop()
    status, text, _ = ask(house, "GET", "/skynb/door")
    assert (status, json.loads(text)) == (200, {"version": __version__, "server": None})
    assert daemon.card() is None


def test_the_first_question_starts_the_server(house):
    """Clusters are asked for, the server of this home comes up; its token never comes out."""
    status, text, headers = ask(house, "GET", f"{API_PREFIX}/clusters")
    assert (status, json.loads(text)) == (200, [])
    assert headers[VERSION_HEADER] == "1"
    card = daemon.card()
    assert card is not None
    assert card["token"] not in text + str(headers)
    assert json.loads(ask(house, "GET", "/skynb/door")[1])["server"] == __version__


def test_requests_go_through_and_back(house, here):
    """A launch, its record and its end; refusals come as the server words them, with their status."""
    task = {"resources": {"infra": "local"}, "run": "echo through the door"}
    body = json.dumps({"task": task, "cluster_name": "here"}).encode()
    key = {KEY_HEADER: "the same", "Content-Type": "application/json"}
    first = ask(house, "POST", f"{API_PREFIX}/clusters", body, headers=key)
    again = ask(house, "POST", f"{API_PREFIX}/clusters", body, headers=key)
    assert first[:2] == again[:2]
    assert first[0] == 202
    assert here.log("here", 1) == "through the door\n"
    status, text, _ = ask(house, "POST", f"{API_PREFIX}/clusters", b"{")
    assert status == 400
    assert json.loads(text)["error"]["what"] == "the body is not JSON"
    assert ask(house, "DELETE", f"{API_PREFIX}/clusters/none")[0] == 404
    assert ask(house, "DELETE", f"{API_PREFIX}/clusters/here")[0] == 202
    until(lambda: not here.clusters())


def test_a_stream_arrives_as_it_happens_and_ends_with_its_reader(house, here):
    """Events one by one, from now on; the connection behind the door goes when the reader goes."""
    request = urllib.request.Request(f"{house.url}skynb/api/v1/events?after=last")
    request.add_header("Authorization", f"token {TOKEN}")
    before = connections(here)
    with urllib.request.urlopen(request, timeout=60) as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        here.launch("seen")
        lines = [stream.readline().decode().strip() for _ in range(3)]
        assert lines[0].startswith("id: ")
        assert json.loads(lines[2].removeprefix("data: "))["name"] == lines[1].removeprefix("event: ")
        assert lines[1] == "event: cluster.launch"
    until(lambda: connections(here) <= before, 30)
    here.down("seen")


def connections(here):
    """Open connections of the daemon."""
    return len(psutil.Process(here.server_pid()).net_connections())


def test_a_dashboard_is_reached_over_the_door(house, here):
    """Dask's pages and its websocket below Jupyter's address; only for its owner, and from its own pages."""
    here.launch("dashed")
    until(lambda: here.cluster("dashed").status == "UP", 60)
    assert ask(house, "GET", "/skynb/dask/dashed/status")[0] == 404
    with SkyCluster("dashed", n_workers=1, quiet=True, shutdown_on_close=True):
        status, text, headers = ask(house, "GET", "/skynb/dask/dashed/status")
        assert (status, headers["Content-Type"]) == (200, "text/html")
        assert "Dask Diagnostic UI" in text
        assert "/individual-groups" in ask(house, "GET", "/skynb/dask/dashed/individual-plots.json")[1]
        assert ask(house, "GET", "/skynb/dask/dashed/nothing/there")[0] == 404
        assert ask(house, "GET", "/skynb/dask/nobody/status")[0] == 404
        assert "Dask" not in ask(house, "GET", "/skynb/dask/dashed/status", token=None)[1]
        own = cookies(house)
        assert asyncio.run(opened(house, house.url.rstrip("/"), own)) == 101
        assert asyncio.run(opened(house, "http://elsewhere.example", own)) == 403
    here.down("dashed")


def cookies(house) -> str:
    """What a browser has once its user came in."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar := CookieJar()))
    opener.open(f"{house.url}api/status?token={TOKEN}", timeout=30).close()
    return "; ".join(f"{one.name}={one.value}" for one in jar)


async def opened(house, origin: str, cookie: str) -> int:
    """The status with which the dashboard's websocket answers a page of this origin."""
    headers = {"Origin": origin, "Cookie": cookie}
    url = f"{house.url.replace('http', 'ws', 1)}skynb/dask/dashed/status/ws"
    try:
        line = await websocket_connect(HTTPRequest(url, headers=headers), subprotocols=["bokeh", "none"])
    except HTTPClientError as error:
        return error.code
    line.close()
    line.stream.close()
    return 101


def test_what_is_jupyters_own_does_not_reach_a_dashboard():
    """Its token and its cookies stay here, in whatever form they come."""
    headers = HTTPHeaders({"Cookie": "a=canary", "authorization": "token canary", "Accept": "text/html"})
    headers.add("Referer", "http://localhost/lab?token=canary")
    headers.add("X-XSRFToken", "canary")
    headers.add("Host", "canary.example")
    uri = "/base/skynb/dask/c/status?theme=dark&token=canary"
    line = RequestStartLine("GET", uri, "HTTP/1.1")
    asked = HTTPServerRequest(start_line=line, headers=headers, connection=SimpleNamespace())
    said = passed_on(asked, live=False).decode()
    assert said.startswith("GET /status?theme=dark HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n")
    assert said.endswith("\r\nConnection: close\r\n\r\n")
    assert "canary" not in said


def test_a_server_that_was_killed_is_started_again(house, here):
    """The next question is answered by the next server."""
    before = here.server_pid()
    here.kill_server()
    assert ask(house, "GET", f"{API_PREFIX}/health")[0] == 200
    assert here.server_pid() != before


@pytest.mark.parametrize("path", ["/skynb/door", f"{API_PREFIX}/clusters", f"{API_PREFIX}/events"])
@pytest.mark.parametrize("token", [None, "wrong"])
def test_no_stranger_comes_in(house, path, token):
    """Without Jupyter's own token there is no way, whatever the verb."""
    assert ask(house, "GET", path, token=token)[0] == 403
    assert ask(house, "POST", path, b"{}", token=token)[0] == 403
    assert ask(house, "DELETE", path, token=token)[0] in {403, 405}


def test_who_is_not_authorized_stays_out(here, tmp_path):
    """Jupyter's authorizer is asked about the resource `skynb`, reading and writing."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config/refusing.py").write_text(REFUSES)
    (tmp_path / "config/jupyter_server_config.py").write_text(
        f"import sys; sys.path.insert(0, {str(tmp_path / 'config')!r})\n"
        "c.ServerApp.authorizer_class = 'refusing.Nobody'\n"
    )
    with jupyter(tmp_path) as house:
        assert ask(house, "GET", "/api/status")[0] == 200
        assert ask(house, "GET", "/skynb/door")[0] == 403
        assert ask(house, "GET", f"{API_PREFIX}/clusters")[0] == 403
        assert ask(house, "POST", f"{API_PREFIX}/clusters", b"{}")[0] == 403
        assert ask(house, "DELETE", f"{API_PREFIX}/clusters/x")[0] == 403


def test_the_door_is_light():
    """A Jupyter server pays for the door with next to nothing: neither ledger nor clouds are loaded."""
    code = """
import sys, jupyter_server.serverapp
before = set(sys.modules)
import skynb_jupyter.door
heavy = {"sqlalchemy", "alembic", "paramiko", "boto3", "httpx", "yaml", "skynb_clusters", "skynb.control"}
print(sorted(heavy & (set(sys.modules) - before)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
