"""The ledger: durable records, the history of every decision, and the money.

All access goes through short transactions; no network call ever happens inside one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Row,
    Select,
    Update,
    bindparam,
    cast,
    func,
    insert,
    or_,
    select,
    text,
    update,
)

from skynb.control import budgets, schema
from skynb.control.budgets import Budget
from skynb.control.clock import Clock
from skynb.control.database import begun, open_database
from skynb.control.migrate import migrate
from skynb.control.records import Charge, Decision, Event, Move, Outcome, Record, SpendEntry
from skynb.errors import ConflictError

_BATCH = 500
_RECORD_COLUMNS = [schema.records.c[name] for name in Record.__struct_fields__]
_RECORD = schema.records.c
_LIVE = text("NOT records.final")  # as the partial indices have it: other words would not use them

# Every step of the reconciler runs these. Building a statement costs more than SQLite needs to answer it.
_GET = select(*_RECORD_COLUMNS).where(_RECORD.id == bindparam("key"))
_CHILDREN = (
    select(*_RECORD_COLUMNS)
    .where(_RECORD.parent == bindparam("key"))
    .order_by(_RECORD.created_at, _RECORD.id)
)
_CLAIM = (
    update(schema.records)
    .where(
        _RECORD.id == bindparam("key"),
        or_(
            _RECORD.claim_owner.is_(None),
            _RECORD.claim_owner == bindparam("server"),
            _RECORD.claim_token == bindparam("life"),
            _RECORD.claim_until < bindparam("now"),
        ),
    )
    .values(
        claim_owner=bindparam("server"),
        claim_token=bindparam("life"),
        claim_until=bindparam("until"),
    )
)
_INSERT = insert(schema.records)
_APPEND = insert(schema.events)
_NAMED = select(*_RECORD_COLUMNS).where(_RECORD.kind == bindparam("kind"), _RECORD.name == bindparam("name"))
_FIND = _NAMED.where(_RECORD.parent.is_(None), _RECORD.final.is_(False))
_FIND_CHILD = _NAMED.where(_RECORD.parent == bindparam("parent"))
_LENGTHS = (
    select(_RECORD.target, _RECORD.owner, func.count())
    .where(_RECORD.kind == bindparam("kind"), _LIVE)
    .group_by(_RECORD.target, _RECORD.owner)
)
_LINE = (
    select(_RECORD.id, _RECORD.owner, _RECORD.nice, _RECORD.created_at)
    .where(_RECORD.kind == bindparam("kind"), _LIVE)
    .where(_RECORD.target == bindparam("target"), _RECORD.owner == bindparam("owner"))
    .order_by(_RECORD.nice, _RECORD.created_at, _RECORD.id)
    .limit(bindparam("limit", type_=Integer))
)
_SPEND = insert(schema.spend)
_NOTE = (
    update(schema.records)
    .where(_RECORD.id == bindparam("key"), _RECORD.claim_token == bindparam("life"), _RECORD.final.is_(False))
    .values(outcome=bindparam("outcome"), wake_at=bindparam("wake_at"))
)


@cache
def _change(names: frozenset[str], *, claimed: bool) -> Update:
    """Write these columns of a record that nobody has changed."""
    query = update(schema.records).where(_RECORD.id == bindparam("key"), _RECORD.version == bindparam("was"))
    if claimed:
        query = query.where(_RECORD.claim_token == bindparam("life"))
    return query.values({name: bindparam(name) for name in sorted({"version", *names})})


@cache
def _find_all(given: frozenset[str], *, live: bool) -> Select[Any]:
    """Records of a kind, newest first. given: what else they are found by."""
    query = select(*_RECORD_COLUMNS).where(_RECORD.kind == bindparam("kind"))
    if "parent" in given:
        query = query.where(_RECORD.parent == bindparam("parent"))
    if "names" in given:
        query = query.where(_RECORD.name.in_(bindparam("names", expanding=True)))
    if live:
        query = query.where(_RECORD.final.is_(False))
    query = query.order_by(_RECORD.created_at.desc(), _RECORD.id.desc())
    return query.limit(bindparam("limit", type_=Integer)) if "limit" in given else query


class StaleWriteError(Exception):
    """The record changed, or another server claimed it, since it was read: decide again."""


class Claim(msgspec.Struct, frozen=True):
    """One server's hold on records: `owner` survives a restart of that server, `token` does not."""

    owner: str
    token: str
    ttl: float = 30.0


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event as kept. `scope` is the top record (the cluster) it belongs to."""

    seq: int
    at: float
    record: str | None
    scope: str | None
    name: str
    data: dict[str, Any]


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """Micro-dollars of one record or scope: settled for good, and reserved but not yet used."""

    settled: int = 0
    reserved: int = 0


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which records of a kind are wanted; None and empty are no limit.

    numbers: names that are numbers. titles: patterns with `*`. since, before: seconds since the epoch.
    """

    statuses: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    titles: tuple[str, ...] = ()
    owner: str | None = None
    live: bool = False
    since: float | None = None
    before: float | None = None

    def clauses(self) -> list[ColumnElement[bool]]:
        """What the query asks."""
        asked: list[ColumnElement[bool]] = []
        if self.statuses:
            asked.append(_RECORD.status.in_(self.statuses))
        if self.numbers:
            asked.append(_RECORD.name.in_([str(number) for number in self.numbers]))
        if self.titles:
            asked.append(or_(*(_RECORD.title.like(_pattern(title), escape="!") for title in self.titles)))
        if self.owner is not None:
            asked.append(_RECORD.owner == self.owner)
        if self.live:
            asked.append(_RECORD.final.is_(False))
        if self.since is not None:
            asked.append(_RECORD.created_at >= self.since)
        if self.before is not None:
            asked.append(_RECORD.created_at < self.before)
        return asked


class Waiting(NamedTuple):
    """One record in a line."""

    id: str
    owner: str
    nice: int
    created_at: float


class Ledger:
    """Opens and migrates the database at `url` (SQLAlchemy form; SQLite in WAL mode or PostgreSQL)."""

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.engine = open_database(url)
        migrate(self.engine)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Read and write; everything commits together or not at all."""
        with begun(self.engine) as connection:
            yield Transaction(connection, self.clock)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A consistent look."""
        with begun(self.engine, reading=True) as connection:
            yield Transaction(connection, self.clock)

    def close(self) -> None:
        self.engine.dispose()


class Transaction:
    """What may be done to the ledger within one transaction."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._db = connection
        self._clock = clock

    # Records

    def insert(self, record: Record) -> Record:
        """Write a new record, due at once; a second live one of the same name is a ConflictError."""
        now = self._clock.now()
        record = msgspec.structs.replace(record, created_at=now, updated_at=now, wake_at=now)
        if self.find(record.kind, record.name, parent=record.parent):
            raise ConflictError(f"{record.kind} {record.name!r} already exists")
        self._db.execute(_INSERT, _row(record))
        return record

    def get(self, record_id: str) -> Record | None:
        row = self._db.execute(_GET, {"key": record_id}).first()
        return _record(row) if row else None

    def find(self, kind: str, name: str, *, parent: str | None = None) -> Record | None:
        """The record of that name: a child in whatever state, a top record only while not final."""
        named = {"kind": kind, "name": name, "parent": parent}
        row = self._db.execute(_FIND_CHILD if parent else _FIND, named).first()
        return _record(row) if row else None

    def find_all(
        self,
        kind: str,
        *,
        parent: str | None = None,
        names: Sequence[str] | None = None,
        live: bool = True,
        limit: int | None = None,
    ) -> list[Record]:
        """Records of a kind, oldest first. live=False shows the ended ones too, newest kept by `limit`."""
        asked = {"kind": kind, "parent": parent, "names": names and list(names), "limit": limit}
        given = {name: value for name, value in asked.items() if value is not None}
        if names is not None and not names:
            return []
        rows = self._db.execute(_find_all(frozenset(given), live=live), given).all()
        return [_record(row) for row in reversed(rows)]

    def children(self, parent: str) -> list[Record]:
        """Every record below this one, final or not, by kind and age."""
        return [_record(row) for row in self._db.execute(_CHILDREN, {"key": parent})]

    def below(self, kind: str, parents: Sequence[str]) -> dict[str, list[Record]]:
        """Children of that kind by parent, oldest first; a query for each 500 parents."""
        table = schema.records.c
        found: dict[str, list[Record]] = {parent: [] for parent in parents}
        for some in _batches(parents):
            query = select(*_RECORD_COLUMNS).where(table.kind == kind, table.parent.in_(some))
            for row in self._db.execute(query.order_by(table.created_at, table.id)):
                record = _record(row)
                found[str(record.parent)].append(record)
        return found

    def next_number(self, counter: str) -> int:
        """1, 2, 3 ... for whoever asks next, never the same twice."""
        table = schema.counters
        upsert = budgets.upsert(self._db.dialect)(table).values(name=counter, value=1)
        grown = upsert.on_conflict_do_update(index_elements=["name"], set_={"value": table.c.value + 1})
        return int(self._db.execute(grown.returning(table.c.value)).scalar_one())

    def lock(self, name: str) -> None:
        """Whoever locks the same name waits until this transaction ends."""
        if self._db.dialect.name == "postgresql":  # on SQLite one transaction writes at a time in any case
            self._db.execute(select(func.pg_advisory_xact_lock(func.hashtext(name))))

    def page(self, kind: str, wanted: Filter, limit: int) -> list[Record]:
        """The newest records of a kind that fit, newest first."""
        query = select(*_RECORD_COLUMNS).where(_RECORD.kind == kind, *wanted.clauses())
        query = query.order_by(_RECORD.created_at.desc(), _RECORD.id.desc()).limit(limit)
        return [_record(row) for row in self._db.execute(query)]

    def tally(self, kind: str, owner: str | None = None) -> dict[str, int]:
        """How many records of a kind there are by status, ended ones included."""
        query = select(_RECORD.status, func.count()).where(_RECORD.kind == kind).group_by(_RECORD.status)
        if owner is not None:
            query = query.where(_RECORD.owner == owner)
        return {str(status): int(count) for status, count in self._db.execute(query)}

    def lengths(self, kind: str) -> dict[str, dict[str, int]]:
        """How many records of a kind are not final, by target and owner."""
        found: dict[str, dict[str, int]] = {}
        for target, owner, count in self._db.execute(_LENGTHS, {"kind": kind}):
            found.setdefault(target, {})[owner] = int(count)
        return found

    def line(self, kind: str, target: str, owner: str, limit: int) -> list[Waiting]:
        """The first of one person's records that wait with this target: the least nice, then the oldest."""
        asked = {"kind": kind, "target": target, "owner": owner, "limit": limit}
        return [Waiting(*row) for row in self._db.execute(_LINE, asked)]

    def highest(self, kind: str, *, parent: str) -> int:
        """The highest number that a child of that kind has for a name; 0 without any."""
        table = schema.records.c
        query = select(func.max(cast(table.name, Integer))).where(table.kind == kind, table.parent == parent)
        return int(self._db.execute(query).scalar_one() or 0)

    def move(self, move: Move) -> bool:
        """Move a target and make the record due. False where it is final, or meant not to be moved."""
        now = self._clock.now()
        table = schema.records
        done = self._db.execute(
            update(table)
            .where(table.c.id == move.record, table.c.final.is_(False), table.c.target != move.unless)
            .values(
                target=move.target,
                version=table.c.version + 1,
                wake_at=now,
                updated_at=now,
                **({"reason": move.reason} if move.reason else {}),
            )
        )
        return done.rowcount == 1

    def amend(self, record: Record, *, spec: msgspec.Struct) -> None:
        """Replace the spec at a user's request and make the record due; guarded by its version."""
        now = self._clock.now()
        self._update(
            record,
            None,
            {"spec": msgspec.json.encode(spec), "wake_at": now, "updated_at": now},
        )

    # The reconciler's writes

    def claim(self, record_id: str, claim: Claim) -> bool:
        """Hold a record for `claim.ttl` seconds. False while another living server holds it."""
        now = self._clock.now()
        hold = {"server": claim.owner, "life": claim.token, "until": now + claim.ttl}
        done = self._db.execute(_CLAIM, {"key": record_id, "now": now, **hold})
        return done.rowcount == 1

    def live(self) -> list[str]:
        """Ids of everything not final, parents before children."""
        table = schema.records.c
        return [row.id for row in self._db.execute(select(table.id).where(_LIVE).order_by(table.created_at))]

    def due(self, now: float, claim: Claim, limit: int = 200) -> list[str]:
        """Ids of records whose time has come and that no other server holds."""
        table = schema.records
        query = (
            select(table.c.id)
            .where(
                _LIVE,
                table.c.wake_at <= now,
                or_(
                    table.c.claim_owner.is_(None),
                    table.c.claim_owner == claim.owner,
                    table.c.claim_token == claim.token,
                    table.c.claim_until < now,
                ),
            )
            .order_by(table.c.wake_at)
            .limit(limit)
        )
        if self._db.dialect.name == "postgresql":
            query = query.with_for_update(skip_locked=True)
        return [row.id for row in self._db.execute(query)]

    def commit(self, record: Record, decision: Decision, claim: Claim) -> Record:
        """Write a decision whole: status, moves, money, events. StaleWriteError if anyone was faster."""
        now = self._clock.now()
        changes: dict[str, Any] = {
            name: getattr(decision, name)
            for name in ("status", "target", "generation", "final", "reason")
            if getattr(decision, name) is not None
        }
        if decision.state is not None:
            changes["state"] = msgspec.json.encode(decision.state)
        if decision.seen:
            changes["observed_at"] = now
        wake_at = None if decision.wake_in is None else now + decision.wake_in
        changes |= {"wake_at": wake_at, "updated_at": now, "outcome": None}
        self._update(record, claim, changes)
        scope = record.parent or record.id
        for happened in decision.events:
            self.append(happened, record=record.id, scope=scope)
        for entry in decision.spend:
            self._spend(entry, record=record.id, scope=scope)
            budgets.book(self._db, entry, scope=scope, owner=record.owner, at=now)
        for played in {one.rehearsed for one in decision.spend if one.entry == "reserve" and not one.owed}:
            budgets.check(self._db, scope=scope, owner=record.owner, at=now, rehearsed=played)
        for record_beside in decision.inserts:
            if self.get(record_beside.id) is None:
                self.insert(record_beside)
        for move in decision.moves:
            self.move(move)
        written = self.get(record.id)
        assert written is not None  # noqa: S101 - updated one statement ago, in this transaction
        return written

    def saw(self, records: Sequence[str]) -> None:
        """The world is as these records say, now."""
        table = schema.records
        for some in _batches(records):
            seen = update(table).where(table.c.id.in_(some), table.c.final.is_(False))
            self._db.execute(seen.values(observed_at=self._clock.now()))

    def note(self, record: Record, outcome: Outcome, claim: Claim) -> None:
        """Keep what an effect came to. Not guarded by version: a moved target must not lose it."""
        found = {"key": record.id, "life": claim.token}
        written = {"outcome": msgspec.json.encode(outcome), "wake_at": self._clock.now()}
        self._db.execute(_NOTE, found | written)

    def _update(self, record: Record, claim: Claim | None, changes: Mapping[str, Any]) -> None:
        found = {"key": record.id, "was": record.version}
        if claim is not None:
            found["life"] = claim.token
        query = _change(frozenset(changes), claimed=claim is not None)
        done = self._db.execute(query, {**found, "version": record.version + 1, **changes})
        if done.rowcount != 1:
            raise StaleWriteError(record.id)

    # History

    def append(self, entry: Event, *, record: str | None = None, scope: str | None = None) -> None:
        row = {"record": record, "scope": scope, "name": entry.name, "data": msgspec.json.encode(entry.data)}
        self._db.execute(_APPEND, {"at": self._clock.now(), **row})

    def events(
        self, *, after: int = 0, scopes: Sequence[str] = (), record: str | None = None, limit: int = 1000
    ) -> list[StoredEvent]:
        """Events with seq > after, in order, of these scopes or of all."""
        table = schema.events.c
        query = select(schema.events).where(table.seq > after).order_by(table.seq).limit(limit)
        if scopes:
            query = query.where(table.scope.in_(list(scopes)))
        if record is not None:
            query = query.where(table.record == record)
        return [
            StoredEvent(
                seq=row.seq,
                at=row.at,
                record=row.record,
                scope=row.scope,
                name=row.name,
                data=msgspec.json.decode(row.data),
            )
            for row in self._db.execute(query)
        ]

    def last_event(self) -> int:
        """The number of the newest event, 0 before the first."""
        return int(self._db.execute(select(func.max(schema.events.c.seq))).scalar_one() or 0)

    # Money

    def _spend(self, entry: SpendEntry, *, record: str, scope: str) -> None:
        row = {
            "at": self._clock.now(),
            "record": record,
            "scope": scope,
            "entry": entry.entry,
            "micro_usd": entry.micro_usd,
            "begin_at": entry.begin,
            "end_at": entry.end,
            "price": msgspec.json.encode(entry.price) if entry.price is not None else None,
        }
        self._db.execute(_SPEND, row)

    def money(self, *, scope: str | None = None, record: str | None = None) -> Money:
        """Settled and reserved so far. A settlement or a release uses up what was reserved before it."""
        table = schema.spend.c
        query = select(table.entry, func.sum(table.micro_usd)).group_by(table.entry)
        if scope is not None:
            query = query.where(table.scope == scope)
        if record is not None:
            query = query.where(table.record == record)
        return _money({str(entry): int(total) for entry, total in self._db.execute(query)})

    def monies(self, scopes: Sequence[str]) -> dict[str, Money]:
        """The same for many scopes."""
        table = schema.spend.c
        sums: dict[str, dict[str, int]] = {scope: {} for scope in scopes}
        for some in _batches(scopes):
            query = select(table.scope, table.entry, func.sum(table.micro_usd)).where(table.scope.in_(some))
            for scope, entry, total in self._db.execute(query.group_by(table.scope, table.entry)):
                sums[scope][str(entry)] = int(total)
        return {scope: _money(entries) for scope, entries in sums.items()}

    def seconds(self, scope: str) -> float:
        """Machine-seconds settled below this scope."""
        table = schema.spend.c
        query = select(func.sum(table.end_at - table.begin_at)).where(
            table.scope == scope, table.entry == "settle"
        )
        return float(self._db.execute(query).scalar_one() or 0.0)

    def charges(self, scope: str) -> list[Charge]:
        """What is settled below this scope, by record and price, in the order in which each began."""
        table = schema.spend.c
        begin, end = func.min(table.begin_at), func.max(table.end_at)
        seconds = func.sum(table.end_at - table.begin_at)
        query = (
            select(table.record, table.price, begin, end, seconds, func.sum(table.micro_usd))
            .where(table.scope == scope, table.entry == "settle")
            .group_by(table.record, table.price)
            .order_by(begin, table.record)
        )
        return [
            Charge(record, msgspec.json.decode(price) if price else {}, first, last, lasted, int(total))
            for record, price, first, last, lasted, total in self._db.execute(query)
        ]

    def settled_since(self, moment: float) -> list[tuple[float, float, int, bytes | None]]:
        """Begin, end, micro-dollars and encoded price row of every settlement that ends after a moment."""
        table = schema.spend.c
        query = select(table.begin_at, table.end_at, table.micro_usd, table.price).where(
            table.entry == "settle", table.end_at > moment
        )
        return [tuple(row) for row in self._db.execute(query)]

    def budgets(self, accounts: Sequence[str] | None = None) -> list[Budget]:
        """The caps of these accounts, or all, and where they stand now."""
        return budgets.standing(self._db, accounts, self._clock.now())

    def free(self, scope: str, owner: str, *, rehearsed: bool = False) -> int | None:
        """Micro-dollars that a cluster of this person may still reserve; None where nothing caps it."""
        names = budgets.accounts(scope, owner, rehearsed=rehearsed)
        return min((one.free for one in self.budgets(names)), default=None)

    def set_budget(self, account: str, micro: int | None, *, by: str) -> None:
        """Cap an account, or uncap it with None."""
        budgets.set_cap(self._db, account, micro, by=by, at=self._clock.now())

    # Requests

    def answered(self, key: str, owner: str, verb: str, digest: str) -> bytes | None:
        """The answer given before under this idempotency key; another request under it is a ConflictError."""
        table = schema.requests.c
        row = self._db.execute(select(schema.requests).where(table.key == key, table.owner == owner)).first()
        if row is None:
            return None
        if (row.verb, row.digest) != (verb, digest):
            raise ConflictError(
                "this idempotency key was used for another request", mend="Send a fresh key with each request"
            )
        return bytes(row.answer)

    def remember(self, key: str, owner: str, verb: str, digest: str, answer: bytes) -> None:
        self._db.execute(
            insert(schema.requests).values(
                key=key, owner=owner, verb=verb, digest=digest, answer=answer, at=self._clock.now()
            )
        )


def _money(sums: Mapping[str, int]) -> Money:
    settled = sums.get("settle", 0)
    return Money(settled=settled, reserved=sums.get("reserve", 0) - settled - sums.get("release", 0))


def _pattern(title: str) -> str:
    """A title with `*` for anything, as SQL's LIKE writes it."""
    for special in "!%_":
        title = title.replace(special, f"!{special}")
    return title.replace("*", "%")


def _batches(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """Pieces that a query may carry as parameters."""
    for start in range(0, len(names), _BATCH):
        yield names[start : start + _BATCH]


def _row(record: Record) -> dict[str, Any]:
    row = {name: getattr(record, name) for name in Record.__struct_fields__}
    row["outcome"] = msgspec.json.encode(record.outcome) if record.outcome else None
    return row


def _record(row: Row[Any]) -> Record:
    values = dict(zip(Record.__struct_fields__, row, strict=True))
    values["spec"], values["state"] = bytes(values["spec"]), bytes(values["state"])
    if values["outcome"] is not None:
        values["outcome"] = msgspec.json.decode(values["outcome"], type=Outcome)
    return Record(**values)
