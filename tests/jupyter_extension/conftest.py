"""One real daemon for the tests of its face."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from skynb.client import server
from tests.support.site import Site, site


class Face:
    """Raw HTTP to the daemon, with or without its token."""

    def __init__(self, here: Site) -> None:
        self.here = here
        card = server.ensure()
        self.token = str(card["token"])
        self.address = urlsplit(str(card["url"]))

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        token: str | None = "",
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """(status, decoded body, headers). token: "" is the right one, None is none."""
        connection = http.client.HTTPConnection(self.address.hostname or "", self.address.port, timeout=20)
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"token {token or self.token}"
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        try:
            return response.status, json.loads(text), response.headers
        except ValueError:
            return response.status, text.decode(errors="replace"), response.headers


@pytest.fixture(scope="module")
def face():
    with site() as here:
        yield Face(here)
