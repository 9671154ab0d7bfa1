"""A simulated cloud: the words of the provider contract over plain data, a clock and a seed.

Nothing here waits, and nothing happens but at a call: each first lets pass what was due since the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from skynb.errors import (
    AuthError,
    CapacityError,
    Disproved,
    ProviderError,
    QuotaError,
    SkynbError,
    ThrottledError,
)
from skynb_clusters.contract import Listing, Machine, NodeRequest
from skynb_clusters.providers.sim import bill, units
from skynb_clusters.providers.sim.bill import Charge
from skynb_clusters.providers.sim.chance import uniform
from skynb_clusters.providers.sim.fault_names import FAULTS, Deed, Moment, Sort
from skynb_clusters.providers.sim.faults import Fault, Spot
from skynb_clusters.providers.sim.market import Market
from skynb_clusters.providers.sim.units import OFF, Memory, Terms, Unit

FOREIGN_OWNER = "server-of-somebody-else"
_KEPT_LOOKS = 64
_SOON = ("run", "off", "end", "rise", "preempt", "reclaim", "crash", "vanish", "notice")

Strikes = dict[Deed, Sort]


class World:
    """One account of a simulated cloud. memory: its whole state, plain data that may be kept in a file.

    now: its clock. market: spot prices and interruptions, None for spot machines that nobody takes.
    """

    def __init__(
        self,
        memory: Memory,
        now: Callable[[], float],
        terms: Terms | None = None,
        market: Market | None = None,
    ) -> None:
        self.memory = memory
        self.terms = terms or Terms()
        self._now = now
        self._market = market

    # What a provider calls

    def create(self, request: NodeRequest) -> Machine:
        """A new machine, or the one of this token."""
        now = self.pass_time()
        spot = Spot("/".join(part for part in (request.region, request.zone) if part), request.instance_type)
        strikes = self._strikes("create", spot)
        self._refuse(strikes, "create", spot)
        known = self.memory.tokens.get(request.token)
        if known is not None and known not in self.memory.units:
            raise ProviderError("this token was used for a machine that has ended", retryable="no")
        if known is None or "twice" in strikes:
            known = self._make(request, strikes, now).id
        self._lose(strikes, "create")
        return self.memory.units[known].machine()

    def start(self, machine_id: str) -> None:
        """Start a stopped machine; NotFound-like ProviderError where there is none."""
        now = self.pass_time()
        unit = self.memory.units.get(machine_id)
        if unit is None or unit.state in {"terminating", "terminated"}:
            raise ProviderError(f"there is no machine {machine_id}", retryable="no")
        strikes = self._strikes("start", unit.spot_of)
        self._refuse(strikes, "start", unit.spot_of)
        if unit.state == "stopping":
            raise ProviderError(f"{machine_id} is still stopping", retryable="yes")
        if unit.state == "stopped" and "ignore" not in strikes:
            self._restart(unit, strikes, now)
        self._lose(strikes, "start")

    def stop(self, machine_id: str) -> None:
        """Stop; an absent or stopped one is left as it is."""
        self._end(machine_id, "stop", by="request")

    def terminate(self, machine_id: str) -> None:
        """End; an absent one is left as it is."""
        self._end(machine_id, "terminate", by="request")

    def list(self, tags: Mapping[str, str], region: str | None = None) -> Listing:
        """What bears all these tags, in that region or everywhere, as truly as the faults allow."""
        now = self.pass_time()
        self.memory.looks += 1
        spot = Spot(region or "")
        strikes = self._strikes("list", spot)
        self._refuse(strikes, "list", spot)
        skew = strikes["skew"].value if "skew" in strikes else 0.0
        truth = tuple(unit.machine(skew) for unit in self.memory.units.values() if unit.hidden_until <= now)
        shown = self._blurred(strikes, truth, now)
        found = tuple(
            machine
            for machine in shown
            if tags.items() <= machine.tags.items() and region in {None, machine.place}
        )
        if "blind" in strikes:
            places = {machine.place for machine in truth} | {region or ""}
            return Listing((), tuple(sorted(places - {""})))
        return Listing(found)

    def open_ports(self, machine_id: str, ports: tuple[str, ...]) -> None:
        """Ports of a machine that the world may reach."""
        unit = self._known(machine_id)
        unit.ports = sorted({*unit.ports, *ports})

    def set_on_shutdown(self, machine_id: str, mode: str) -> None:
        """What is meant to become of a machine that shuts itself down."""
        self._known(machine_id).on_shutdown = mode

    def _known(self, machine_id: str) -> Unit:
        unit = self.memory.units.get(machine_id)
        if unit is None:
            raise ProviderError(f"there is no machine {machine_id}", retryable="no")
        return unit

    def check(self) -> SkynbError | None:
        """What stands in the way of using this cloud."""
        try:
            self._refuse(self._strikes("check", Spot()), "check", Spot())
        except SkynbError as error:
            return error
        return None

    # What happens on a machine, and what a test asks

    def end_inside(self, machine_id: str, mode: str) -> None:
        """The machine shuts itself down: `stop` or `down`."""
        self.pass_time()
        unit = self.memory.units.get(machine_id)
        if unit is not None and "no-guest-end" not in unit.marks:
            self._end(machine_id, "stop" if mode == "stop" else "terminate", by="node", faultless=True)

    def power_off(self, machine_id: str) -> None:
        """The machine is off at once: its host failed. The disk stays."""
        now = self.pass_time()
        unit = self.memory.units.get(machine_id)
        if unit is not None and unit.state in {"pending", "running"}:
            unit.plan(now, "crash")
            self.pass_time()

    def unit(self, machine_id: str) -> Unit | None:
        """The machine as it is now, whatever lists say."""
        self.pass_time()
        return self.memory.units.get(machine_id)

    def put(self, *faults: Fault) -> None:
        """Faults from now on; their `after` and `until` still count from the beginning."""
        self.memory.faults = (*self.memory.faults, *faults)

    def lift(self, name: str = "") -> None:
        """No more of a fault, or of all. What it did stays done."""
        faults = [fault for fault in self.memory.faults if name and fault.name != name]
        self.memory.faults, self.memory.struck = tuple(faults), {}

    def bill(self) -> Sequence[Charge]:
        """What is charged until now, a line each span of each machine."""
        now = self.pass_time()
        running = [line for unit in self.memory.units.values() for line in self._charges(unit, now)]
        return [*self.memory.past, *running]

    def next_at(self) -> float | None:
        """When something happens by itself next, but for what only memory notices."""
        return min(
            (due.at for unit in self.memory.units.values() for due in unit.due if due.what in _SOON),
            default=None,
        )

    def pass_time(self) -> float:
        """Let what was due happen; the time."""
        now = self._now()
        for unit in list(self.memory.units.values()):
            if not units.passed(unit, now, self.terms):
                self.memory.past = [*self.memory.past, *self._charges(unit, now)]
                del self.memory.units[unit.id]
        return now

    # How

    def _charges(self, unit: Unit, now: float) -> Sequence[Charge]:
        return bill.lines(unit.id, unit.tags, unit.spans, now)

    def _make(self, request: NodeRequest, strikes: Strikes, now: float) -> Unit:
        if "left" in strikes:
            self._check_left(strikes["left"], request)
        unit = self._unit(request, now)
        self.memory.units[unit.id] = unit
        self.memory.tokens[request.token] = unit.id
        if "tagless" in strikes:
            unit.tags = {}
        if "late" in strikes:
            unit.hidden_until = now + strikes["late"].value
        if "foreign" in strikes:
            stranger = self._unit(request, now)
            stranger.token, stranger.tags = "", {**request.tags, "skynb-owner": FOREIGN_OWNER}
            self.memory.units[stranger.id] = stranger
            self._boot(stranger, now)
        self._boot(unit, now)
        if request.limit_s is not None and "unlimited" not in unit.marks:
            unit.plan(now + request.limit_s, "preempt")
        return unit

    def _unit(self, request: NodeRequest, now: float) -> Unit:
        name = f"{uniform(self.memory.seed, 'name', self._draw()):.15f}"[2:14]
        return Unit(
            id=f"sim-{name}",
            token=request.token,
            tags=dict(request.tags),
            labels=dict(request.labels),
            ports=list(request.ports),
            type=request.instance_type,
            region=request.region or "",
            zone=request.zone or "",
            spot=request.spot,
            hourly_micro=request.hourly_micro,
            on_shutdown=request.on_shutdown,
            created_at=now,
            address=self._address(),
        )

    def _boot(self, unit: Unit, now: float) -> None:
        """From the order, or the start, until it runs, with all that fate has in store for it."""
        strikes = self._strikes("boot", unit.spot_of)
        prices = self._strikes("bill", unit.spot_of)
        unit.marks |= {deed: sort.value for deed, sort in {**strikes, **prices}.items()}
        wait = self._spread(self.terms.boot_s, unit.id) + (
            strikes["slow"].value if "slow" in strikes else 0.0
        )
        unit.state, unit.ended_by = "pending", ""
        if self.terms.bills_boot:
            unit.bill_from(now)
        if "never" not in strikes:
            unit.plan(now + wait, "run")
        for deed in ("preempt", "reclaim", "crash", "vanish"):
            if deed in strikes:
                sort = strikes[deed]
                unit.plan(now + sort.value, deed)
                if sort.notice:
                    unit.plan(now + sort.value - sort.notice, "notice")
        if "notice-only" in strikes:
            unit.plan(now + strikes["notice-only"].value, "notice")
        self._let_market_take(unit, now)

    def _let_market_take(self, unit: Unit, now: float) -> None:
        if unit.spot and self._market is not None:
            taken = self._market.taken_at(f"{unit.spot_of.place} {unit.type}", now)
            if taken is not None:
                unit.plan(taken, "preempt")
                unit.plan(max(now, taken - 120.0), "notice")

    def _restart(self, unit: Unit, strikes: Strikes, now: float) -> None:
        if "empty-disk" in strikes:
            unit.disk += 1
        if "move" in strikes:
            unit.address = self._address()
        if "price" in strikes:
            unit.marks["price"] = strikes["price"].value
        unit.boots += 1
        self._boot(unit, now)

    def _end(self, machine_id: str, verb: Moment, *, by: str, faultless: bool = False) -> None:
        now = self.pass_time()
        unit = self.memory.units.get(machine_id)
        if unit is None:
            return
        strikes = {} if faultless else self._strikes(verb, unit.spot_of)
        self._refuse(strikes, verb, unit.spot_of)
        done = unit.state in ({"terminating", "terminated"} if verb == "terminate" else {"stopping", *OFF})
        done = done or unit.state == "terminating"
        if not done and "ignore" not in strikes:
            usual = self.terms.end_s if verb == "terminate" else self.terms.stop_s
            more = strikes["slow"].value if "slow" in strikes else 0.0
            deed = units.end if verb == "terminate" else units.halt
            deed(unit, now, self._spread(usual, unit.id) + more, by=by)
            if "late" in strikes:
                unit.shown_until = now + strikes["late"].value
            if "rise" in strikes:
                unit.plan(now + strikes["rise"].value, "rise")
        self._lose(strikes, verb)

    def _blurred(self, strikes: Strikes, truth: tuple[Machine, ...], now: float) -> tuple[Machine, ...]:
        """The list as the faults show it."""
        if any(FAULTS[fault.name].deed == "stale" for fault in self.memory.faults):
            self.memory.before = [*self.memory.before, (now, truth)][-_KEPT_LOOKS:]
        if "hide-all" in strikes:
            return ()
        if "hide-half" in strikes:
            return truth[1::2]
        if "flap" in strikes and int((now - self.memory.began_at) / strikes["flap"].value) % 2:
            return ()
        if "stale" in strikes:
            old = [seen for at, seen in self.memory.before if at <= now - strikes["stale"].value]
            return old[-1] if old else ()
        return truth

    def _check_left(self, sort: Sort, request: NodeRequest) -> None:
        living = [unit for unit in self.memory.units.values() if unit.state != "terminated"]
        same = [
            unit
            for unit in living
            if (unit.region, unit.type) == (request.region or "", request.instance_type)
        ]
        if len(same) >= sort.value:
            raise _refusal(sort, "create", request.instance_type)

    def _strikes(self, moment: Moment, spot: Spot) -> Strikes:
        """The faults that strike here and now, by deed; each time counts."""
        found: Strikes = {}
        age = self._now() - self.memory.began_at
        for number, fault in enumerate(self.memory.faults):
            spent = fault.times is not None and self.memory.struck.get(number, 0) >= fault.times
            if spent or not fault.concerns(moment, spot, age):
                continue
            if fault.chance < 1 and uniform(self.memory.seed, fault.name, self._draw()) >= fault.chance:
                continue
            self.memory.struck = {**self.memory.struck, number: self.memory.struck.get(number, 0) + 1}
            found[FAULTS[fault.name].deed] = fault.sort
        return found

    def _refuse(self, strikes: Strikes, verb: Moment, spot: Spot) -> None:
        if "refuse" in strikes:
            raise _refusal(strikes["refuse"], verb, spot.type)

    def _lose(self, strikes: Strikes, verb: Moment) -> None:
        if "lose-answer" in strikes:
            raise _refusal(strikes["lose-answer"], verb, "")

    def _spread(self, seconds: float, *question: str) -> float:
        return seconds * (0.75 + uniform(self.memory.seed, *question, seconds) / 2)

    def _draw(self) -> int:
        self.memory.draws += 1
        return self.memory.draws

    def _address(self) -> str:
        number = self._draw()
        return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def _refusal(sort: Sort, verb: Moment, what: str) -> SkynbError:
    """The error of a provider, as the word says."""
    says = f"{verb} {what}: {sort.says}" if what else f"{verb}: {sort.says}"
    if sort.word in {"capacity", "zone", "type", "region", "cloud"}:
        return CapacityError(says, disproves=cast("Disproved", sort.word))
    if sort.word == "quota":
        return QuotaError(says)
    if sort.word == "throttled":
        return ThrottledError(says)
    if sort.word in {"auth", "forbidden"}:
        return AuthError(says)
    return ProviderError(says, retryable="no" if sort.word == "mismatch" else "unknown")
