"""A server of prices on loopback: pages by host and path, with every way of serving them badly."""

from __future__ import annotations

import gzip
import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class Page:
    """One page. script: takes the handler over; etag: answered with 304 to who has it."""

    body: bytes = b""
    status: int = 200
    kind: str = "text/plain"
    etag: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    script: Callable[[BaseHTTPRequestHandler], None] | None = None


class PriceServer(ThreadingHTTPServer):
    """pages: by `host/path` (without the query, or with it where it matters). asked: what came, in order."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages: dict[str, Page | list[Page]] = {}
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.closing = threading.Event()

    @property
    def mirror(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, place: str, body: bytes | str = b"", **options) -> Page:
        """Serve this body there from now on."""
        page = Page(body.encode() if isinstance(body, str) else body, **options)
        self.pages[place] = page
        return page

    def handle_error(self, request, client_address) -> None:
        """A client that leaves is none of our business."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: PriceServer

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.server.bodies.append(self.rfile.read(length))
        path = self.path.lstrip("/")
        self.server.asked.append(path)
        self.server.headers.append(dict(self.headers))
        page = self.server.pages.get(path) or self.server.pages.get(urlsplit(path).path)
        if isinstance(page, list):
            page = page.pop(0) if len(page) > 1 else page[0]
        if page is None:
            page = Page(b"not here", status=404)
        if page.script is not None:
            self.close_connection = True
            page.script(self)
        elif page.etag and self.headers.get("If-None-Match") == page.etag:
            self.send_response(304)
            self.end_headers()
        else:
            self._send(page)

    do_POST = do_GET  # noqa: N815 - the base class looks for it

    def _send(self, page: Page) -> None:
        self.send_response(page.status)
        headers = {"Content-Type": page.kind, "Content-Length": str(len(page.body))} | page.headers
        headers |= {"ETag": page.etag} if page.etag else {}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page.body)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def price_server() -> Iterator[PriceServer]:
    """A server that is gone at the end."""
    server = PriceServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def cut(body: bytes, keep: int, kind: str = "text/plain") -> Callable[[BaseHTTPRequestHandler], None]:
    """Promises the whole body and sends its beginning."""

    def script(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[:keep])

    return script


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte now and then, for as long as somebody listens."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    _send_on(handler, b"x", 0.02)


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    """A head that never ends."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    _send_on(handler, b"x", 0.02)


def endless(handler: BaseHTTPRequestHandler) -> None:
    """A body without a length and without an end."""
    handler.send_response(200)
    handler.send_header("Connection", "close")
    handler.end_headers()
    _send_on(handler, b"x" * 65536, 0)


def _send_on(handler: BaseHTTPRequestHandler, data: bytes, pause: float) -> None:
    """The same again and again, until nobody listens or the server closes."""
    try:
        while not handler.server.closing.is_set():  # type: ignore[attr-defined]
            handler.wfile.write(data)
            handler.wfile.flush()
            time.sleep(pause)
    except OSError:
        return


def zipped(members: dict[str, str | bytes]) -> bytes:
    """An archive of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return file.getvalue()


def bomb(size: int) -> bytes:
    """Zeros, compressed."""
    return gzip.compress(bytes(size), 9)
