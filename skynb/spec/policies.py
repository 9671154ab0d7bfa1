"""What resources carry besides machines: autostop, recovery, disks, images, registries."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from skynb.spec.checks import boolean, choice, fail, filled, integer, list_of, map_of, nearest, show, text
from skynb.spec.records import Field, Record
from skynb.spec.secrets import Secret
from skynb.spec.values import minutes, size_gb

disk_tier = choice("low", "medium", "high", "ultra", "best", "none")
network_tier = choice("standard", "best")

_LOCAL_DISK = re.compile(r"(?:(?P<mode>[A-Za-z]+)\s*:?)?\s*(?P<size>[0-9]{1,9})?(?P<plus>\+?)")
_MODES = ("nvme", "ssd")


class Autostop(Record):
    """When an idle cluster stops, or with `down` goes: after `idle_minutes` without what `wait_for` names."""

    ROOT = "autostop"
    idle_minutes = Field(integer(0), 0)
    down = Field(boolean, default=False)
    wait_for = Field(choice("jobs_and_ssh", "jobs", "none"), "jobs_and_ssh")
    hook = Field(filled)
    hook_timeout = Field(integer(1), 3600)

    @classmethod
    def _longhand(cls, value: Any, where: str) -> Any:
        if isinstance(value, bool):
            return {"idle_minutes": 0}
        if isinstance(value, (int, str)):
            return {"idle_minutes": minutes(value, where)}
        return value


class JobRecovery(Record):
    """How a managed job comes back: `strategy` (None is the default one) and what counts as worth it.

    Unknown keys reach custom strategies, so neither they nor the strategy's name are checked here.
    """

    ROOT = "job_recovery"
    OPEN = True
    strategy = Field(filled)
    max_restarts_on_errors = Field(integer(0), 0)

    @staticmethod
    def _codes(value: Any, where: str) -> tuple[int, ...]:
        code = integer(0, 255)
        codes = list_of(code)(value, where) if isinstance(value, (list, tuple)) else (code(value, where),)
        if len(set(codes)) < len(codes):
            fail(where, "an exit code is there twice", mend="Name each once")
        return codes

    recover_on_exit_codes = Field(_codes, ())

    @classmethod
    def _longhand(cls, value: Any, where: str) -> Any:  # noqa: ARG003 - as above it
        return {"strategy": value} if isinstance(value, str) else value


class DockerLogin(Record):
    """The registry's user, password and server."""

    username = Field(text, required=True)
    password = Field(Secret.parse, required=True)
    server = Field(text, required=True)


class AttachedVolume(Record):
    """A cloud disk attached to every node, at `path`."""

    path = Field(filled, required=True)
    name = Field(filled)
    disk_size = Field(size_gb)
    disk_tier = Field(disk_tier)
    storage_type = Field(choice("network", "instance"))
    auto_delete = Field(boolean, default=False)
    attach_mode = Field(choice("read_write", "read_only"))

    def _check(self, where: str) -> None:
        if self.storage_type == "network" and not self.name:
            fail(where, "network storage needs a `name`")


def autostop(value: Any, where: str) -> Autostop | bool:
    """An Autostop; False where it is switched off, which negative minutes do as well."""
    if value is False or (isinstance(value, int) and not isinstance(value, bool) and value < 0):
        return False
    return Autostop.parse(value, where)


def local_disk(value: Any, where: str) -> str:
    """`mode:size[+]` in GB, from `nvme`, `1000+` and the like."""
    match = _LOCAL_DISK.fullmatch(text(value, where).strip()) if not isinstance(value, int) else None
    if match is None or not (match["mode"] or match["size"]) or (match["plus"] and not match["size"]):
        fail(where, f"{show(value)} is not a local disk", mend="Write `nvme`, `nvme:1000+` or `ssd:500`")
    mode = (match["mode"] or "nvme").lower()
    if mode not in _MODES:
        fail(where, f"{show(mode)} is not a kind of local disk", mend=nearest(mode, _MODES, "kind"))
    if match["size"] and not int(match["size"]):
        fail(where, "a size is above 0", mend=f"Write `{mode}:100+`")
    return f"{mode}:{int(match['size'])}{match['plus']}" if match["size"] else f"{mode}:100+"


def image_id(value: Any, where: str) -> str | Mapping[str | None, str]:
    """One image, or region -> image, where None is any region."""
    if isinstance(value, str):
        return filled(value, where).strip()
    if not isinstance(value, Mapping):
        fail(where, f"{show(value)} is not an image", mend="Write `docker:IMAGE`, or `REGION: IMAGE` lines")
    images = map_of(_region, filled)(value, where)
    if not images:
        fail(where, "no image is named", mend="Leave the field out")
    if "docker" in images and any(image.startswith("docker:") for image in images.values()):
        fail(
            where,
            "`docker` as a key does not go with `docker:` images",
            mend="Write `image_id: docker:IMAGE`",
        )
    return images


def _region(value: Any, where: str) -> str | None:
    return None if value in {None, "*"} else filled(value, where)
