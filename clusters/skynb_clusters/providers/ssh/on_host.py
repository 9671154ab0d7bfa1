"""The program that a host runs for us: what it has, who holds what of it, and the end of an allocation.

It comes by standard input (`python3 - VERB JSON`), so a host needs nothing but Python >= 3.8; the answer is a
line of JSON. An allocation is a folder in the login's home with a card that only the login can read or forge.
Several logins share a host, so what is taken of it is told once more in a folder that all may write to and
none may change for another: a claim each.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

Json = Dict[str, Any]

MACHINES = Path.home() / ".skynb-hosts"
CLAIMS = Path(
    "/var/tmp/skynb-hosts"
)  # kept over boots; each look renews what is ours, so no sweeper takes it
MARK = "SKYNB_SSH_MACHINE"
LOCK_SECONDS = 20.0
GRACE_SECONDS = 2.0


def facts(_request: Json) -> Json:
    """What this host has. GPUs are those that the driver lists; gpu_error says why a driver lists none."""
    gpus, error = _gpus()
    MACHINES.mkdir(mode=0o700, exist_ok=True)
    _claims_folder()
    return {
        "node": platform.node(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_gib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        "disk_gib": shutil.disk_usage(str(Path.home())).free / 2**30,
        "gpus": gpus,
        "gpu_error": error,
        "arch": platform.machine(),
        "python": platform.python_version(),
        "rsync": shutil.which("rsync") is not None,
        "sudo": os.geteuid() == 0 or _works(["sudo", "-n", "true"]),
        "address": _address(),
    }


def allocate(request: Json) -> Json:
    """The card of this allocation, made now unless it is there; or the reason why the host has no room."""
    place = MACHINES / request["id"]
    with _held():
        card = _card(place)
        if card is None:
            want = request["want"]
            gpus, full = _room(want, _taken())
            if full:
                return {"full": full}
            card = {
                "id": request["id"],
                "token": request["token"],
                "tags": request["tags"],
                "instance_type": request["instance_type"],
                "node": platform.node(),
                "folder": str(place),
                "address": request["address"] or "".join(_address()),
                "created_at": time.time(),
                "claim": dict(want, gpus=gpus),
            }
            _make(place, card, request["program"])
        _claim(card)
    return {"card": card}


def look(request: Json) -> Json:
    """The cards of this login that carry all these tags."""
    with _held():
        cards = _cards()
        for card in cards:
            _claim(card)
    return {"cards": [card for card in cards if request["tags"].items() <= card["tags"].items()]}


def end(request: Json) -> Json:
    """End every process of the allocation, its folder and its claim. Ending an absent one does nothing."""
    name = request["id"]
    place, grave = MACHINES / name, MACHINES / (".ended-" + name)
    _end_marked(("%s=%s" % (MARK, name)).encode() + b"\0")
    with _held():
        if place.exists() and not grave.exists():
            place.rename(grave)
        shutil.rmtree(str(place), ignore_errors=True)
        _remove(_claim_path(name))
    _end_marked(("%s=%s" % (MARK, name)).encode() + b"\0")
    for _ in range(3):
        shutil.rmtree(str(grave), ignore_errors=True)
    if grave.exists():
        raise OSError("%s cannot be removed" % grave)
    return {"ended": name}


def _room(want: Json, taken: List[Json]) -> Tuple[List[int], str]:
    """(GPUs for it, empty), or (none, why there is no room). taken: the claims of everybody."""
    if taken and (want["whole"] or any(claim["whole"] for claim in taken)):
        return [], "it is taken"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if sum(claim["cpus"] for claim in taken) + want["cpus"] > len(os.sched_getaffinity(0)):
        return [], "its CPUs are taken"
    if sum(claim["memory_gib"] for claim in taken) + want["memory_gib"] > memory:
        return [], "its memory is taken"
    if not want["gpus"]:
        return [], ""
    listed, _ = _gpus()
    held = {index for claim in taken for index in claim["gpus"]}
    free = [gpu["index"] for gpu in listed if gpu["index"] not in held]
    if len(free) < want["gpus"]:
        return [], "its GPUs are taken"
    return free[: want["gpus"]], ""


def _make(place: Path, card: Json, program: str) -> None:
    """The folder whole or not at all: what was cut short before is swept away first."""
    MACHINES.mkdir(mode=0o700, exist_ok=True)
    draft = MACHINES / (".new-" + card["id"])
    shutil.rmtree(str(draft), ignore_errors=True)
    shutil.rmtree(str(place), ignore_errors=True)
    for name in ("agent", "home"):
        (draft / name).mkdir(mode=0o700, parents=True)
    draft.chmod(0o700)
    (draft / "on_host.py").write_text(program)
    _write(draft / "card.json", json.dumps(card), 0o600)
    draft.rename(place)


def _cards() -> List[Json]:
    found = [_card(place) for place in sorted(MACHINES.glob("ssh-*"))] if MACHINES.exists() else []
    return [card for card in found if card is not None]


def _card(place: Path) -> Optional[Json]:
    """The card in a folder, if it is of this host: homes may be shared between hosts."""
    try:
        card: Json = json.loads((place / "card.json").read_text())
    except (OSError, ValueError):
        return None
    return card if card.get("node") == platform.node() else None


def _taken() -> List[Json]:
    """What all logins hold, without what nobody of ours holds any more."""
    ours = {card["id"]: card for card in _cards()}
    for card in ours.values():
        _claim(card)
    held = []
    for path in CLAIMS.glob("*-ssh-*.json"):
        uid, _, name = path.name[: -len(".json")].partition("-")
        if uid == str(os.getuid()) and name not in ours:
            _remove(path)
            continue
        claim = _read_claim(path, uid)
        if claim is not None:
            held.append(claim)
    return held


def _read_claim(path: Path, uid: str) -> Optional[Json]:
    """A claim that the login it names has written, of sane numbers; None for anything else."""
    try:
        handle = os.open(str(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or str(about.st_uid) != uid:
            return None
        try:
            claim = json.loads(file.read(65536))
            return {
                "whole": bool(claim["whole"]),
                "cpus": max(0.0, float(claim["cpus"])),
                "memory_gib": max(0.0, float(claim["memory_gib"])),
                "gpus": [int(index) for index in claim["gpus"]],
            }
        except (ValueError, KeyError, TypeError):
            return None


def _claim(card: Json) -> None:
    path = _claim_path(card["id"])
    if _read_claim(path, str(os.getuid())) == _numbers(card["claim"]):
        os.utime(str(path))
    else:
        _write(path, json.dumps(card["claim"]), 0o644)


def _numbers(claim: Json) -> Json:
    return dict(claim, cpus=float(claim["cpus"]), memory_gib=float(claim["memory_gib"]))


def _claim_path(name: str) -> Path:
    return CLAIMS / ("%d-%s.json" % (os.getuid(), name))


def _claims_folder() -> None:
    """The folder of all logins. Sticky: everybody may add, nobody may remove another's."""
    with suppress(FileExistsError):
        CLAIMS.mkdir()
        CLAIMS.chmod(0o1777)
    about = CLAIMS.lstat()
    if not stat.S_ISDIR(about.st_mode) or stat.S_IMODE(about.st_mode) != 0o1777:
        raise OSError("%s is not a folder that all may add to (mode 1777)" % CLAIMS)


@contextmanager
def _held() -> Iterator[None]:
    """One allocation at a time on this host, whoever asks."""
    _claims_folder()
    lock = CLAIMS / "lock"
    try:
        handle = os.open(str(lock), os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        try:
            handle = os.open(str(lock), os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            handle = os.open(str(lock), os.O_RDONLY | os.O_NOFOLLOW)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError("somebody holds %s" % lock) from None
                time.sleep(0.01)
        yield
    finally:
        os.close(handle)


def _gpus() -> Tuple[List[Json], str]:
    """(GPUs, empty), or (none, what the driver said)."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return [], ""
    command = [program, "--query-gpu=index,name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], str(error)
    text = done.stdout.decode(errors="replace")
    if done.returncode != 0:
        return [], (text.strip().splitlines() or ["nvidia-smi failed"])[0]
    rows = (line.split(", ") for line in text.splitlines() if line.strip())
    return [{"index": int(row[0]), "name": row[1], "mib": float(row[2])} for row in rows], ""


def _end_marked(mark: bytes) -> None:
    """TERM, wait, KILL, until no process of this mark or below one is left."""
    deadline = time.monotonic() + GRACE_SECONDS
    sent: Set[int] = set()
    while True:
        pids = _marked(mark)
        if not pids:
            return
        late = time.monotonic() > deadline
        if time.monotonic() > deadline + 10:
            raise OSError("processes %s do not end" % sorted(pids))
        for pid in pids if late else pids - sent:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        sent |= pids
        time.sleep(0.01)


def _marked(mark: bytes) -> Set[int]:
    found: Set[int] = set()
    parents: Dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                if state in "ZX":
                    continue
                parents[int(folder.name)] = int(parent)
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue  # ended meanwhile, or another login's
            if environment.startswith(mark) or b"\0" + mark in environment:
                found.add(int(folder.name))
    while True:
        below = {pid for pid, parent in parents.items() if parent in found and pid not in found}
        if not below:
            return found
        found |= below


def _address() -> List[str]:
    """Where this login's connection came in, if by SSH."""
    return os.environ.get("SSH_CONNECTION", "").split(" ")[2:3]


def _works(argv: List[str]) -> bool:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _write(path: Path, text: str, mode: int) -> None:
    draft = path.with_name(".%s.%s" % (path.name, os.urandom(6).hex()))  # nobody can be there before us
    handle = os.open(str(draft), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "w") as file:
        os.fchmod(handle, mode)
        file.write(text)
        file.flush()
        os.fsync(handle)
    draft.rename(path)


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        path.unlink()


if __name__ == "__main__":
    _verbs = {"facts": facts, "allocate": allocate, "look": look, "end": end}
    try:
        _answer = _verbs[sys.argv[1]](json.loads(sys.argv[2]))
    except OSError as _error:
        sys.exit("%s" % _error)
    print(json.dumps(_answer))
