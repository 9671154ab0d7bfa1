"""Files and disks: what a task mounts, and volumes that outlive clusters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from skynb.spec.checks import (
    below,
    boolean,
    choice,
    either,
    fail,
    filled,
    integer,
    list_of,
    map_of,
    matching,
    nearest,
    number,
    open_mapping,
    show,
    text,
)
from skynb.spec.infra import Infra, cloud_name, place
from skynb.spec.policies import disk_tier
from skynb.spec.records import Field, Record
from skynb.spec.values import size_gb

STORES = ("S3", "GCS", "AZURE", "R2", "IBM", "OCI", "NEBIUS", "COREWEAVE", "VASTDATA", "HF", "VOLUME")
SCHEMES = ("s3", "gs", "https", "http", "r2", "cos", "oci", "nebius", "cw", "vastdata", "hf", "file")
MODES = ("MOUNT", "COPY", "MOUNT_CACHED")

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_rclone_size = matching(r"(?i:[0-9]+[bkmgtp]?|off)", "a size", mend="Write it as `64M` or `10G`")
_AMOUNT = r"[-+]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_DURATION = rf"(?:{_AMOUNT}(?:ms|[smhdwMy]))+|{_AMOUNT}"
_duration_text = matching(_DURATION, "a duration", mend="Write it as `10s` or `1h30m`")
_size_or_number = either((int, float), integer(0), _rclone_size)
_duration = either((int, float), number(0), _duration_text)


def location(value: Any, where: str) -> str:
    """A local path or the URL of a bucket."""
    spelling = filled(value, where)
    match = _SCHEME.match(spelling)
    if match and match[1].lower() not in SCHEMES:
        kinds = [f"{scheme}://" for scheme in SCHEMES]
        fail(
            where,
            f"{show(match[0])} is not a kind of URL known here",
            mend=nearest(match[0], kinds, "prefix"),
        )
    return spelling


class MountCached(Record):
    """How rclone caches a bucket on the node; sizes as `10G`, durations as `1h30m`."""

    transfers = Field(integer(1))
    buffer_size = Field(_size_or_number)
    vfs_cache_max_size = Field(_size_or_number)
    vfs_cache_max_age = Field(_duration)
    vfs_read_ahead = Field(_size_or_number)
    vfs_read_chunk_size = Field(_size_or_number)
    vfs_read_chunk_streams = Field(integer(0))
    vfs_write_back = Field(_duration)
    read_only = Field(boolean)


class Mount(Record):
    """How a bucket is mounted."""

    read_only = Field(boolean)
    hf_mount_args = Field(list_of(text))


class StorageConfig(Record):
    """Options of the store: of the disk where it is a volume, of the mount where it is a bucket."""

    OPEN = True
    disk_size = Field(size_gb)
    disk_tier = Field(disk_tier)
    storage_type = Field(choice("network", "instance"))
    attach_mode = Field(choice("read_write", "read_only"))
    mount_cached = Field(MountCached.parse)
    mount = Field(Mount.parse)


class Storage(Record):
    """A bucket (or with `store: volume` a disk), perhaps filled from local paths, at a mount path."""

    ROOT = "storage"
    name = Field(filled)
    source = Field(either((list, tuple), list_of(location, least=1), location))
    store = Field(choice(*STORES))
    mode = Field(choice(*MODES), "MOUNT")
    persistent = Field(boolean, default=True)
    mount_options = Field(text)
    type = Field(choice("MODEL_CHECKPOINT_RO", "MODEL_CHECKPOINT_RW", "DATASET_RO", "DATASET_RW"))
    config = Field(StorageConfig.parse)
    _is_sky_managed = Field(boolean)
    _bucket_sub_path = Field(text)
    _force_delete = Field(boolean)

    def _check(self, where: str) -> None:
        if not self.name and not self.source:
            fail(where, "a bucket's `name` or a `source` must be given")
        if self.source and self.mode == "MOUNT_CACHED" and self.store == "VOLUME":
            fail(below(where, "mode"), "a volume is not cached", mend="Write `mode: MOUNT`")


def file_mounts(value: Any, where: str) -> Mapping[str, str | Storage]:
    """Destination on the nodes -> local path, bucket URL or storage object."""
    return map_of(filled, either(str, location, Storage.parse))(value, where)


class VolumeConfig(Record):
    """Where and how a volume is made."""

    OPEN = True  # each kind of volume has options of its own
    storage_class_name = Field(filled)
    access_mode = Field(choice("ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany", "ReadOnlyMany"))
    namespace = Field(filled)
    host_path = Field(filled)
    cleanup_on_deletion = Field(boolean)


class Volume(Record):
    """A disk with a name that outlives clusters (`volumes apply`). Size in GB."""

    ROOT = "volume"
    name = Field(filled, required=True)
    type = Field(choice("k8s-pvc", "k8s-hostpath", "runpod-network-volume"), required=True)
    infra = Field(Infra.parse)
    size = Field(size_gb)
    use_existing = Field(boolean, default=False)
    labels = Field(map_of(text, text), cast("Mapping[str, str]", {}))
    config = Field(VolumeConfig.parse)


class EphemeralVolume(Record):
    """A disk that lives as long as its cluster. Size in GB."""

    OPEN = True
    size = Field(size_gb)
    type = Field(filled)
    labels = Field(map_of(text, text), cast("Mapping[str, str]", {}))
    config = Field(VolumeConfig.parse)


def volumes(value: Any, where: str) -> Mapping[str, str | EphemeralVolume]:
    """Mount path -> a volume's name, or an ephemeral volume."""
    return map_of(filled, either(str, filled, EphemeralVolume.parse))(value, where)


class VolumePlace(Record):
    """A volume as the server resolved it."""

    OPEN = True
    cloud = Field(cloud_name)
    region = Field(place)
    zone = Field(place)


class VolumeMount(Record):
    """A resolved volume at a path; made by the server, read back from it."""

    path = Field(filled, required=True)
    volume_name = Field(filled, required=True)
    is_ephemeral = Field(boolean, default=False)
    sub_path = Field(matching(r"[a-zA-Z0-9._-][a-zA-Z0-9./_-]*", "a path below the volume's root"))
    volume_config = Field(either(Mapping, VolumePlace.parse, open_mapping))


class GitWorkdir(Record):
    """A checkout of `ref` (default: the repository's own) from `url`."""

    ROOT = "workdir"
    url = Field(filled, required=True)
    ref = Field(filled)


def workdir(value: Any, where: str) -> str | GitWorkdir:
    """A local folder, or a git checkout."""
    return either(str, filled, GitWorkdir.parse)(value, where)
