"""What every answer of the API has in common: who asks, and in which version."""

from __future__ import annotations

from typing import Any

from jupyter_server.extension.handler import ExtensionHandlerMixin
from tornado import web

from skynb import __version__
from skynb.errors import SpecError
from skynb.wire import API_VERSION, KEY_HEADER, OLDEST_API_VERSION, VERSION_HEADER
from skynb_jupyter.answers import Answers
from skynb_jupyter.service import Caller, Service


class Base(ExtensionHandlerMixin, Answers):
    """A handler of the daemon."""

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
