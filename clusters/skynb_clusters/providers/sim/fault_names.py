"""What can go wrong in a simulated cloud: a name, a moment, a deed and one sentence each. Only data."""

from __future__ import annotations

from typing import Literal

import msgspec

Moment = Literal["create", "start", "stop", "terminate", "list", "check", "boot", "bill"]
Deed = Literal[
    "refuse",  # before the deed, as `word` says
    "lose-answer",  # after the deed
    "ignore",  # says yes and does nothing
    "late",  # done, and visible only `value` seconds later
    "twice",  # a second machine for the same token
    "left",  # only `value` machines may live, then none is free
    "tagless",  # the user's labels and skynb's tags are gone
    "slow",  # takes `value` seconds longer
    "never",  # never gets there
    "mute",  # the machine runs and answers nobody
    "agent-dies",  # the agent ends `value` seconds after it was started
    "preempt",  # taken at `value` seconds, told `notice` seconds before
    "reclaim",  # stopped by the cloud at `value` seconds, as if somebody had asked
    "crash",  # off at `value` seconds
    "vanish",  # gone at `value` seconds, disk and record
    "notice-only",  # a notice at `value` seconds that nothing follows
    "rise",  # runs again `value` seconds after its end
    "empty-disk",  # starts with an empty disk
    "move",  # starts with another address
    "stranger",  # its address is answered by somebody else's machine
    "unlimited",  # outlives its limit
    "no-guest-end",  # shutting down from inside does not end it
    "skew",  # reports times `value` seconds off
    "hide-all",  # an empty list, as if it were true
    "hide-half",  # every second machine is missing from the list
    "flap",  # machines are listed and not, `value` seconds each
    "stale",  # the list of `value` seconds ago
    "blind",  # part could not be seen, and it is said
    "foreign",  # a machine of others, with tags that look like ours
    "price",  # charged `value` times the price
    "still-billed",  # charged although stopped
    "billed-on",  # charged for `value` seconds after its end
]


class Sort(msgspec.Struct, frozen=True):
    """One named fault. word: which refusal. value, notice: seconds, a number or a factor.

    lie: the cloud breaks the provider contract or its own bill, so that no caller could know better.
    """

    on: Moment
    deed: Deed
    says: str
    word: str = ""
    value: float = 0.0
    notice: float = 0.0
    lie: bool = False


def _calls(moment: Moment, name: str) -> dict[str, Sort]:
    """What any call that changes something can meet."""
    return {
        f"{name}-throttled": Sort(moment, "refuse", f"Too many calls: {name} must wait.", word="throttled"),
        f"{name}-500": Sort(moment, "refuse", f"{name} fails inside the cloud, undone.", word="server"),
        f"{name}-500-but-done": Sort(moment, "lose-answer", f"{name} answers an error, done.", word="server"),
        f"{name}-unreachable": Sort(moment, "refuse", f"{name} never arrives.", word="unreachable"),
        f"{name}-response-lost": Sort(
            moment, "lose-answer", f"{name} is done and its answer lost.", word="unreachable"
        ),
        f"{name}-forbidden": Sort(moment, "refuse", f"The account may not {name}.", word="forbidden"),
    }


_REFUSALS: dict[str, Sort] = {
    "no-capacity": Sort("create", "refuse", "No machine like this is free here now.", word="capacity"),
    "no-capacity-zone": Sort("create", "refuse", "The zone is full.", word="zone"),
    "no-capacity-type": Sort("create", "refuse", "The type is sold out everywhere.", word="type"),
    "no-capacity-region": Sort("create", "refuse", "The region is full.", word="region"),
    "no-capacity-cloud": Sort("create", "refuse", "The whole cloud is full.", word="cloud"),
    "no-capacity-on-start": Sort("start", "refuse", "The stopped machine finds no room.", word="capacity"),
    "partial-gang": Sort(
        "create", "left", "Only so many machines are left, then none.", word="capacity", value=1
    ),
    "quota-family": Sort("create", "refuse", "The account's quota of this family is used up.", word="quota"),
    "quota-left": Sort("create", "left", "The quota admits so many more.", word="quota", value=1),
    "quota-on-start": Sort("start", "refuse", "The quota was given to others meanwhile.", word="quota"),
    "token-mismatch": Sort("create", "refuse", "The token was used with other parameters.", word="mismatch"),
    "list-throttled": Sort("list", "refuse", "Too many looks.", word="throttled"),
    "list-500": Sort("list", "refuse", "The list fails inside the cloud.", word="server"),
    "list-response-lost": Sort("list", "refuse", "The list never arrives.", word="unreachable"),
    "region-down": Sort("list", "blind", "A region cannot be seen, and the list says so."),
    "cloud-down": Sort("list", "refuse", "Nothing of the cloud can be seen.", word="unreachable"),
    "auth-expired": Sort("list", "refuse", "The credentials have run out.", word="auth"),
    "auth-expired-on-create": Sort(
        "create", "refuse", "The credentials ran out before a create.", word="auth"
    ),
    "auth-expired-on-terminate": Sort(
        "terminate", "refuse", "The credentials ran out before an end.", word="auth"
    ),
    "check-fails": Sort("check", "refuse", "The check finds no credentials.", word="auth"),
}

_LIES: dict[str, Sort] = {
    "delete-lies": Sort("terminate", "ignore", "Terminate answers yes and the machine runs on."),
    "stop-lies": Sort("stop", "ignore", "Stop answers yes and the machine runs on."),
    "start-lies": Sort("start", "ignore", "Start answers yes and the machine stays off."),
    "create-visible-late": Sort("create", "late", "A new machine is not listed at first.", value=4.0),
    "terminate-visible-late": Sort("terminate", "late", "An ended machine is listed as running.", value=4.0),
    "token-ignored": Sort("create", "twice", "The same token makes a second machine.", lie=True),
    "tag-lost": Sort("create", "tagless", "The machine is made without its tags.", lie=True),
    "list-empty-once": Sort("list", "hide-all", "One list is empty though machines run."),
    "list-page-lost": Sort("list", "hide-half", "One page of the list is missing and nothing says so."),
    "list-flaps": Sort("list", "flap", "Machines are listed at times and at times not.", value=0.7),
    "list-stale": Sort("list", "stale", "The list is an old one.", value=4.0),
    "foreign-machines": Sort(
        "create", "foreign", "Somebody else's machine carries tags that look like ours."
    ),
    "zombie": Sort("terminate", "rise", "A terminated machine runs again later.", value=30.0, lie=True),
    "clock-skew": Sort("list", "skew", "The cloud's clock is off.", value=-7.0, lie=True),
}

_LIVES: dict[str, Sort] = {
    "slow-boot": Sort("boot", "slow", "The machine takes minutes to boot.", value=300.0),
    "boot-never-ends": Sort("boot", "never", "The machine stays pending."),
    "ssh-never-answers": Sort("boot", "mute", "The machine runs and nobody can reach it."),
    "agent-dies": Sort("boot", "agent-dies", "The agent ends after a while.", value=60.0),
    "preempted-120s-notice": Sort("boot", "preempt", "Taken, told two minutes before.", "", 180.0, 120.0),
    "preempted-30s-notice": Sort("boot", "preempt", "Taken, told 30 seconds before.", "", 180.0, 30.0),
    "preempted-unannounced": Sort("boot", "preempt", "Taken without a word.", "", 180.0),
    "preempted-at-boot": Sort("boot", "preempt", "Taken before it was up.", "", 2.0),
    "preempted-as-stop": Sort("boot", "reclaim", "Taken, and it looks as if somebody stopped it.", "", 180.0),
    "notice-without-preemption": Sort("boot", "notice-only", "A notice that nothing follows.", "", 60.0),
    "host-fails": Sort("boot", "crash", "The host fails: the machine is off, its disk kept.", "", 180.0),
    "machine-vanishes": Sort("boot", "vanish", "Gone, and nothing says since when.", "", 180.0, lie=True),
    "disk-lost-on-start": Sort("start", "empty-disk", "The started machine has an empty disk."),
    "address-changed-on-start": Sort("start", "move", "The started machine has another address."),
    "address-of-a-stranger": Sort("boot", "stranger", "Somebody else's machine answers at its address."),
    "limit-ignored": Sort("boot", "unlimited", "The machine outlives the limit it was given."),
    "guest-shutdown-ignored": Sort("boot", "no-guest-end", "Shut down from inside, it runs on.", lie=True),
    "slow-stop": Sort("stop", "slow", "Stopping takes minutes.", value=240.0),
    "slow-terminate": Sort("terminate", "slow", "Terminating takes minutes.", value=240.0),
}

_BILLS: dict[str, Sort] = {
    "wrong-price": Sort("bill", "price", "Charged more than the price list says.", value=1.25, lie=True),
    "price-change": Sort("start", "price", "After a start the price is another.", value=1.1, lie=True),
    "stopped-still-billed": Sort("bill", "still-billed", "Charged in full although stopped.", lie=True),
    "billed-after-the-end": Sort("bill", "billed-on", "Charged on after its end.", value=60.0, lie=True),
}

FAULTS: dict[str, Sort] = {
    **_calls("create", "create"),
    **_calls("start", "start"),
    **_calls("stop", "stop"),
    **_calls("terminate", "terminate"),
    **_REFUSALS,
    **_LIES,
    **_LIVES,
    **_BILLS,
}
