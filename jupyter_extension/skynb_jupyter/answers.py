"""How answers and errors look, and which resource an authorizer is asked about. Imports nothing heavy."""

from __future__ import annotations

from typing import Any

import msgspec
from jupyter_server.base.handlers import APIHandler

from skynb.errors import SkynbError

RESOURCE = "skynb"


def one_line(error: SkynbError) -> str:
    """An error as the reason of a status line has it."""
    return " ".join(str(error).split())[:200].encode("ascii", "replace").decode()


class Answers(APIHandler):
    """A handler that answers in the API's own form, whatever fails."""

    auth_resource = RESOURCE

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
