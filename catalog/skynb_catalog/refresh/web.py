"""HTTP for price sources: streaming, bounded, polite, and interruptible.

Whatever a server does, a request ends: reads have a time limit, a watchdog cuts the connection at the
source's deadline, bodies have a size limit, also decompressed. Redirects stay on their host. Keys go to their
own host only; messages name hosts and paths, never queries or headers.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from skynb_catalog.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MEGABYTE = 1_000_000
_READ_SECONDS = 20.0
_CHUNK = 64 * 1024
_TRIES = 4
_LONGEST_WAIT = 30.0  # a server that asks for more is left for another day
_REDIRECTS = 3
_RETRIED = {408, 425, 429, 500, 502, 503, 504}


class WebError(CatalogError):
    """A source did not answer as it should. passing: the same may do better soon, or `after` seconds."""

    def __init__(
        self, what: str, *, why: str | None = None, passing: bool = False, after: float | None = None
    ) -> None:
        super().__init__(what, why=why)
        self.passing = passing
        self.after = after


class UnchangedError(Exception):
    """The server says that what we have of this is still right."""


class Response(NamedTuple):
    """A body to be read as it comes, and the validators to ask with next time."""

    body: Body
    marks: dict[str, str]


class Web:
    """Where requests go, until when, and who may stop them. One for each source of a refresh.

    mirror: an address that serves `<mirror>/<host>/<path>` for every host; it gets no keys. hosts: addresses
    that stand for single hosts, keys included. seconds: until everything must have ended.
    """

    def __init__(
        self,
        *,
        mirror: str | None = None,
        hosts: Mapping[str, str] | None = None,
        seconds: float = 600.0,
        read_seconds: float = _READ_SECONDS,
        pause: float = 1.0,
        stop: threading.Event | None = None,
        count: Callable[[int], None] | None = None,
    ) -> None:
        self.mirror = mirror.rstrip("/") if mirror else None
        self._hosts = dict(hosts or {})
        self._until = time.monotonic() + seconds
        self._read_seconds = read_seconds
        self._pause = pause
        self._stop = stop or threading.Event()
        self._count = count or (lambda _bytes: None)

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        marks: Mapping[str, str] | None = None,
        data: bytes | None = None,
        most: int = 64 * MEGABYTE,
    ) -> Response:
        """Open a page; `data` makes it a POST. Raises UnchangedError, WebError."""
        sent = {"User-Agent": "skynb-catalog", "Accept-Encoding": "gzip", **(headers or {})}
        sent |= {"If-None-Match": marks["etag"]} if marks and "etag" in marks else {}
        sent |= {"If-Modified-Since": marks["modified"]} if marks and "modified" in marks else {}
        request = urllib.request.Request(self._place(url), data=data, headers=sent)  # noqa: S310 - see _place
        for attempt in range(_TRIES):
            try:
                return self._open(request, most)
            except WebError as error:
                if not error.passing or attempt == _TRIES - 1:
                    error.passing = False  # it has been asked often enough
                    raise
                self._wait(error.after or self._pause * 2**attempt, error)
        raise AssertionError

    def json(self, url: str, **options: Any) -> Any:
        """A whole page as JSON, its numbers exact (`Decimal`). Raises UnchangedError, WebError."""
        response = self.get(url, **options)
        with response.body:
            return parse_json(response.body.read(), named(url))

    def text(self, url: str, **options: Any) -> str:
        """A whole small page. Raises UnchangedError, WebError."""
        with self.get(url, most=MEGABYTE, **options).body as body:
            return body.read().decode("ascii", "replace").strip()

    def over(self) -> bool:
        """Whether time is up or somebody wants to stop."""
        return self._stop.is_set() or time.monotonic() >= self._until

    def check(self) -> None:
        """Raises WebError when it is over."""
        if self._stop.is_set():
            raise WebError("interrupted")
        if self.over():
            raise WebError("time is up", why="it was too slow to be waited for")

    def _place(self, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise WebError(f"{named(url)} is not an https address")
        base = self._hosts.get(parts.hostname) or (self.mirror and f"{self.mirror}/{parts.hostname}")
        if base is None:
            return url
        if urlsplit(base).scheme not in {"http", "https"}:
            raise WebError("a mirror's address begins with http:// or https://")
        return base.rstrip("/") + parts.path + (f"?{parts.query}" if parts.query else "")

    def _wait(self, seconds: float, error: WebError) -> None:
        if seconds > min(_LONGEST_WAIT, self._until - time.monotonic()):
            error.passing = False
            raise error
        self._stop.wait(seconds)
        self.check()

    def _open(self, request: urllib.request.Request, most: int) -> Response:
        self.check()
        watch = _Watchdog(self._until)
        answer = None
        try:
            answer = _opener(watch).open(request, timeout=min(self._read_seconds, watch.left()))
            body = Body(answer, self, watch, most)
        except BaseException as error:
            watch.end()
            opened = error if isinstance(error, urllib.error.HTTPError) else answer
            if opened is not None:
                opened.close()
            self.check()
            raise _as_web_error(error, request.full_url) from error
        marks = {"etag": answer.headers.get("ETag"), "modified": answer.headers.get("Last-Modified")}
        return Response(body, {name: value for name, value in marks.items() if value})

    def counted(self, size: int) -> None:
        """Take note of bytes that came."""
        self._count(size)


class Body(io.RawIOBase):
    """An answer's bytes, decompressed; reading raises WebError if they are cut short, endless or slow."""

    def __init__(self, answer: Any, web: Web, watch: _Watchdog, most: int) -> None:
        super().__init__()
        self._answer = answer
        self._web = web
        self._watch = watch
        self._left = most
        self._name = named(answer.url)
        if answer.headers.get_content_type() == "text/html":
            raise WebError(f"{self._name} answered a web page, not prices")
        encoding = (answer.headers.get("Content-Encoding") or "identity").lower()
        if encoding not in {"identity", "gzip"}:
            raise WebError(f"{self._name} is encoded as {encoding[:20]!r}, which was not asked for")
        self._gzip = zlib.decompressobj(31) if encoding == "gzip" else None
        self._tail = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._next(min(len(buffer), _CHUNK))
        self._left -= len(data)
        if self._left < 0:
            raise WebError(f"{self._name} is larger than anything expected there")
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._watch.end()
            self._answer.close()
        super().close()

    def _next(self, size: int) -> bytes:
        if self._gzip is None:
            return self._raw(size)
        while not self._gzip.eof:
            raw = self._tail or self._raw(_CHUNK)
            if not raw:
                raise self._cut("the compressed body ends too early")
            try:
                data = self._gzip.decompress(raw, size)
            except zlib.error as error:
                raise WebError(f"{self._name} is damaged", why=str(error), passing=True) from error
            self._tail = self._gzip.unconsumed_tail
            if data:
                return data
        return b""

    def _raw(self, size: int) -> bytes:
        self._web.check()
        try:
            data: bytes = self._answer.read1(size)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._web.check()
            raise self._cut(type(error).__name__) from error
        if not data:
            self._web.check()  # the watchdog ends a body like a server does
            if self._answer.length:
                raise self._cut(f"{self._answer.length} bytes are missing")
        self._web.counted(len(data))
        return data

    def _cut(self, why: str) -> WebError:
        return WebError(f"{self._name} was cut short", why=why, passing=True)


class _Watchdog:
    """Cuts the connections of one request at its deadline, wherever it hangs."""

    def __init__(self, until: float) -> None:
        self._until = until
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(self.left(), self._cut)
        self._timer.daemon = True
        self._timer.start()

    def left(self) -> float:
        return max(0.01, self._until - time.monotonic())

    def watch(self, opened: socket.socket) -> None:
        self._sockets.append(opened)

    def end(self) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        for opened in self._sockets:
            try:
                socket.socket.shutdown(opened, socket.SHUT_RDWR)  # also below TLS
            except OSError:
                continue


class _OwnHost(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the same scheme and host, and no others."""

    max_redirections = _REDIRECTS
    max_repeats = 2

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            place = urlsplit(newurl)
            fp.close()
            raise WebError(f"{named(req.full_url)} leads to {place.scheme}://{place.netloc}: not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


@cache
def _verified() -> ssl.SSLContext:
    return ssl.create_default_context()  # slow to make: it reads the system's authorities


def _opener(watch: _Watchdog) -> urllib.request.OpenerDirector:
    def watched(kind: type[http.client.HTTPConnection]) -> Callable[..., http.client.HTTPConnection]:
        class Watched(kind):  # type: ignore[misc, valid-type]
            def connect(self) -> None:
                super().connect()
                watch.watch(self.sock)

        return Watched

    class Http(urllib.request.HTTPHandler):
        def http_open(self, req: Any) -> Any:
            return self.do_open(watched(http.client.HTTPConnection), req)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: Any) -> Any:
            return self.do_open(watched(http.client.HTTPSConnection), req, context=_verified())

    opener = urllib.request.OpenerDirector()  # not build_opener: nothing reads file: or ftp: addresses here
    for handler in (
        urllib.request.ProxyHandler(),
        Http(),
        Https(),
        _OwnHost(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _as_web_error(error: BaseException, url: str) -> BaseException:
    name = named(url)
    if isinstance(error, urllib.error.HTTPError):
        if error.code == 304:
            return UnchangedError()
        if error.code in {401, 403}:
            return WebError(f"{name} refused us ({error.code})", why="a key is missing, wrong or not enough")
        asked = (error.headers.get("Retry-After") or "")[:6]
        after = float(asked) if asked.isdecimal() and asked.isascii() else None
        return WebError(f"{name} answered {error.code}", passing=error.code in _RETRIED, after=after)
    if isinstance(error, urllib.error.URLError):
        reason = error.reason
        return WebError(f"{name} cannot be reached", why=str(reason), passing=_passes(reason))
    if isinstance(error, (OSError, http.client.HTTPException, ValueError)):
        return WebError(f"{name} did not answer", why=type(error).__name__, passing=_passes(error))
    return error


def _passes(reason: Any) -> bool:
    lasting = (ssl.SSLCertVerificationError, socket.gaierror, ValueError)
    return isinstance(reason, (OSError, http.client.HTTPException)) and not isinstance(reason, lasting)


def parse_json(data: bytes, name: str) -> Any:
    """JSON with exact numbers and no NaN. Raises WebError for what is not, or is nested without end."""
    import json
    from decimal import Decimal

    try:
        return json.loads(data, parse_float=Decimal, parse_constant=lambda _name: None)
    except (ValueError, RecursionError) as error:
        raise WebError(f"{name} is not the JSON it should be", why=str(error)[:100]) from error


def named(url: str) -> str:
    """An address as messages show it: no query, which may hold a key."""
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{parts.path}"
