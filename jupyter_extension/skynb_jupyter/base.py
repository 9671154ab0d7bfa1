"""What every answer of the API has in common: who asks, which version, how errors look."""

from __future__ import annotations

from typing import Any

import msgspec
from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.handler import ExtensionHandlerMixin
from tornado import web

from skynb import __version__
from skynb.errors import SkynbError, SpecError
from skynb.wire import API_VERSION, KEY_HEADER, OLDEST_API_VERSION, VERSION_HEADER
from skynb_jupyter.service import Caller, Service

RESOURCE = "skynb"


class Base(ExtensionHandlerMixin, APIHandler):
    """What every answer has in common."""

    auth_resource = RESOURCE

    def prepare(self) -> Any:
        self.set_header(VERSION_HEADER, str(API_VERSION))
        self._check_version()
        return super().prepare()

    @property
    def service(self) -> Service:
        found: Service = self.settings["skynb_service"]
        return found

    def caller(self) -> Caller:
        key = self.request.headers.get(KEY_HEADER)
        if key is not None and not 0 < len(key) <= 128:
            raise SpecError("an idempotency key has 1 to 128 characters", where=KEY_HEADER)
        return Caller(user=self.current_user.username, key=key)

    def send(self, answer: Any, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(answer))

    def fail(self, error: SkynbError) -> None:
        self.send({"error": error.to_dict()}, error.http_status)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Errors of Jupyter and tornado in the same form as ours, without their insides."""
        failure = kwargs.get("exc_info", (None, None))[1]
        if isinstance(failure, SkynbError):
            self.fail(failure)
            return
        what = (
            (getattr(failure, "reason", None) or self._reason) if status_code < 500 else "the server failed"
        )
        code = {401: "auth", 403: "auth", 404: "not-found"}.get(status_code, "http")
        self.send({"error": {"code": code, "what": str(what)}}, status_code)

    def _check_version(self) -> None:
        theirs = self.request.headers.get(VERSION_HEADER)
        if theirs is None:
            return
        if not theirs.isdecimal():
            raise web.HTTPError(400, reason=f"{VERSION_HEADER} is a whole number")
        if int(theirs) < OLDEST_API_VERSION:
            raise web.HTTPError(
                400,
                reason=f"this server (skynb {__version__}) speaks API {OLDEST_API_VERSION} to {API_VERSION}, "
                f"the client speaks {int(theirs)}: upgrade the client",
            )
