"""A plan out of a text that somebody kept."""

from __future__ import annotations

from typing import Any

import msgspec

from skynb.errors import SpecError
from skynb.planning.model import SCHEMA, Plan
from skynb.spec.documents import read_documents, read_file

_MEND = "Write one with `skynb plan -o json`, or with Plan.to_yaml()"


def read_plan(text: str, where: str = "plan") -> Plan:
    """The plan that a YAML or JSON text holds.

    SpecError for another text, for a plan of another schema, and for one whose hash is not that of its
    contents.
    """
    documents = read_documents(text, where)
    page: Any = documents[0] if len(documents) == 1 else None
    if not isinstance(page, dict) or "schema" not in page or "tasks" not in page:
        raise SpecError("this is no plan", where=where, mend=_MEND)
    if page["schema"] != SCHEMA:
        why = f"It has schema {page['schema']!r}, this skynb reads {SCHEMA}"
        raise SpecError("this plan is of another version", where=where, why=why, mend=_MEND)
    try:
        plan = msgspec.convert(page, Plan)
    except msgspec.ValidationError as error:
        raise SpecError("this is no plan", where=where, why=str(error), mend=_MEND) from error
    if not plan.tasks or plan.hash != page.get("hash"):
        raise SpecError("this plan was changed after it was made", where=where, mend=_MEND)
    return plan


def read_plan_file(path: str) -> Plan:
    """The plan in a file; SpecError as `read_plan`, or when the file cannot be read."""
    return read_plan(read_file(path), path)
