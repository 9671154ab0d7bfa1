"""The one tree of errors. Each says what happened, why, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from skynb.wire import JobInfo

Retryable = Literal["yes", "no", "unknown"]
Disproved = Literal["capacity", "zone", "type", "quota", "region", "cloud"]


class SkynbError(Exception):
    """Something a user can understand and act on; faces print it without a traceback.

    what: one sentence. why: the cause, if known. mend: what to do next. where: the field,
    option or record concerned (`resources.accelerators`). retryable: may the same call succeed later?
    """

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 400
    retryable: Retryable = "no"  # the class says what is usual; an instance may know better

    def __init__(
        self,
        what: str,
        *,
        why: str | None = None,
        mend: str | None = None,
        where: str | None = None,
        retryable: Retryable | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.mend = mend
        self.where = where
        if retryable is not None:
            self.retryable = retryable

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return " ".join(_sentence(part) for part in (head, self.why, self.mend) if part)

    def _render_traceback_(self) -> list[str]:
        """IPython calls this instead of printing a traceback."""
        return [f"{type(self).__name__}: {self}"]

    def to_dict(self) -> dict[str, Any]:
        """The error as it travels: {code, what, why, mend, where, retryable}."""
        told = {
            "code": self.code,
            "what": self.what,
            "why": self.why,
            "mend": self.mend,
            "where": self.where,
            "retryable": self.retryable,
        }
        disproves = getattr(self, "disproves", None)
        return told | {"disproves": disproves} if disproves else told


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?", ":")) else text + "."


class SpecError(SkynbError):
    """A task, resource, service, storage or volume that does not parse; `where` is its path."""

    code = "spec"


class UnsupportedError(SkynbError):
    """A valid field or request that no part executes yet; it is refused by name, never ignored."""

    code = "unsupported"


class NoOfferError(SkynbError):
    """No offer of the catalog, within the enabled infra and limits, fits."""

    code = "no-offer"


class NotFoundError(SkynbError):
    """A cluster, job or request that is not there."""

    code = "not-found"
    http_status = 404


class ConflictError(SkynbError):
    """The record is in a state, or in use by somebody, that forbids the request."""

    code = "conflict"
    http_status = 409


class AuthError(SkynbError):
    """Credentials are missing, wrong or not enough."""

    code = "auth"
    http_status = 403
    disproves: Disproved | None = "cloud"


class BudgetError(SkynbError):
    """A budget leaves too little for what was asked."""

    code = "budget"
    http_status = 409


class JobBudgetError(BudgetError):
    """What a managed job may cost in all is used up; nothing fills it again."""

    code = "job-budget"


class ServerError(SkynbError):
    """The skynb server is not reachable or answered something it should not."""

    code = "server"
    http_status = 500
    retryable: Retryable = "unknown"


class ProviderError(SkynbError):
    """A cloud, scheduler or host refused or failed.

    disproves: how much of the infra this refusal rules out for a while, None if it says nothing of that.
    """

    code = "provider"
    retryable: Retryable = "unknown"
    disproves: Disproved | None = None

    def __init__(self, what: str, *, disproves: Disproved | None = None, **details: Any) -> None:
        super().__init__(what, **details)
        if disproves is not None:
            self.disproves = disproves


class UnreachableError(ProviderError):
    """There is no way now to what is asked for on a node; it may live."""

    code = "unreachable"
    http_status = 503
    retryable: Retryable = "yes"


class CapacityError(ProviderError):
    """The infra has no such machine free now; another zone, type or time may."""

    code = "capacity"
    retryable: Retryable = "yes"
    disproves: Disproved | None = "capacity"


class QuotaError(ProviderError):
    """The account's limit is reached."""

    code = "quota"
    retryable: Retryable = "no"
    disproves: Disproved | None = "quota"


class ThrottledError(ProviderError):
    """Too many calls; the same one will do later."""

    code = "throttled"
    retryable: Retryable = "yes"


class JobFailed(SkynbError):  # noqa: N818 - the name people look for
    """A job ended otherwise than well. job: what is known of it, with its exit codes by rank."""

    code = "job-failed"

    def __init__(self, what: str, *, job: JobInfo | None = None, **details: Any) -> None:
        super().__init__(what, **details)
        self.job = job

    @property
    def exit_codes(self) -> list[int | None]:
        """By rank; None for a rank that has none."""
        return list(self.job.exit_codes) if self.job else []


def error_from_dict(data: dict[str, Any]) -> SkynbError:
    """The error that travelled as `to_dict()`; an unknown code becomes a plain SkynbError."""
    kinds = {kind.code: kind for kind in _descendants(SkynbError)}
    kind = kinds.get(str(data.get("code")), SkynbError)
    return kind(
        str(data.get("what") or "something went wrong"),
        why=data.get("why"),
        mend=data.get("mend"),
        where=data.get("where"),
        retryable=data.get("retryable"),
    )


def _descendants(kind: type[SkynbError]) -> list[type[SkynbError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in _descendants(child))]
