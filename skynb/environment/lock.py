"""The versions of an environment for another platform, by uv; what cannot be had there is said."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from skynb.environment.here import Environment, Pin
from skynb.errors import SpecError, UnsupportedError

_PLATFORMS = {"x86_64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
_MOST_S = 300


def locked(environment: Environment, arch: str | None, without: Iterable[str] = ()) -> str:
    """Pinned requirements of this environment on Linux of that architecture; None: on this platform.

    without: distributions to leave out. SpecError with uv's own words where a version cannot be had there;
    UnsupportedError without uv.
    """
    left_out = {canonicalize_name(name) for name in without}
    kept = [
        pin.requirement
        for pin in environment.pins
        if canonicalize_name(pin.name) not in left_out and _applies(pin, arch, environment.python)
    ]
    argv = [
        _uv(),
        "pip",
        "compile",
        "--quiet",
        "--no-header",
        "--no-annotate",
        "--no-progress",
        "--color",
        "never",
    ]
    argv += ["--python-version", environment.python, "-"]
    if arch is not None:
        argv += ["--python-platform", _PLATFORMS[arch]]
    asked = "".join(f"{one}\n" for one in (*kept, *environment.also))
    try:
        done = subprocess.run(argv, input=asked, capture_output=True, text=True, timeout=_MOST_S, check=False)
    except subprocess.TimeoutExpired:
        raise SpecError(f"uv found no versions within {_MOST_S} s", where="env_sync") from None
    if done.returncode:
        raise SpecError(
            f"this environment cannot be had on {_name(arch)}",
            where="env_sync",
            why=" ".join(done.stderr.split()),
            mend="Leave a distribution out (`--env-without NAME`), or install another version here",
        )
    return done.stdout


def _uv() -> str:
    try:
        from uv import find_uv_bin

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise UnsupportedError("uv is not installed", where="env_sync", mend="`pip install uv`")
    return found


def _applies(pin: Pin, arch: str | None, python: str) -> bool:
    """Whether anybody there needs it: not what is wanted on other systems only."""
    if arch is None or not pin.needs:
        return True
    there = {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": "aarch64" if arch == "arm64" else arch,
        "python_version": python,
    }
    for need in pin.needs:
        marker = Requirement(need).marker
        if marker is None or "extra" in str(marker) or marker.evaluate({**there, "extra": ""}):
            return True
    return False


def _name(arch: str | None) -> str:
    return "this machine's platform" if arch is None else f"Linux {arch}"
