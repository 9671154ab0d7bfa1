"""Which image a machine starts from, and the disk that goes with it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec

from skynb.errors import ProviderError
from skynb_clusters.contract import NodeRequest
from skynb_clusters.providers.aws.clients import Clients
from skynb_clusters.providers.aws.refusals import told

REMEMBER_SECONDS = 3600.0
T = TypeVar("T")

_UBUNTU = "/aws/service/canonical/ubuntu/server/22.04/stable/current/{}/hvm/ebs-gp2/ami-id"
_GPU = "/aws/service/deeplearning/ami/{}/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
_OLD_GPU = "/aws/service/deeplearning/ami/{}/base-proprietary-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
_NEURON = "/aws/service/neuron/dlami/base/ubuntu-22.04/latest/image_id"
_CANONICAL_ARCH = {"x86_64": "amd64", "arm64": "arm64"}
_OLD_GPUS = {"V100", "K80", "M60"}  # the open driver does not know them

# SkyPilot's tiers: type of volume, IOPS; gp3 has a sixteenth of them as MiB/s.
_TIERS: Mapping[str, tuple[str, int]] = {
    "low": ("standard", 0),
    "medium": ("gp3", 3500),
    "high": ("gp3", 7000),
    "ultra": ("io2", 20000),
}
_TIERS_BY_OTHER_NAMES = {"best": "ultra", "none": "medium"}


class Hardware(msgspec.Struct, frozen=True):
    """What decides about the image: the architecture and which accelerators there are."""

    arch: str
    gpus: tuple[str, ...] = ()
    neuron: bool = False


class Image(msgspec.Struct, frozen=True):
    """An image of a region. disks: its device names; root: the first of them."""

    id: str
    arch: str
    root: str
    root_gib: int
    disks: tuple[str, ...]


class Images:
    """Looks images and types up, and remembers them for an hour."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._lock = threading.Lock()
        self._known: dict[tuple[str, ...], tuple[float, Any]] = {}

    def choose(self, request: NodeRequest, region: str) -> Image:
        """The task's own image, else the one for the type's architecture and accelerators."""
        hardware = self._hardware(region, request.instance_type)
        arch = request.arch or hardware.arch
        name = (request.image or "").removeprefix("ssm:") or parameter(hardware, arch)
        ami = name if name.startswith("ami-") else self._parameter(region, name)
        image = self._image(region, ami)
        if image.arch != hardware.arch:
            raise ProviderError(
                f"image {ami} is for {image.arch}, {request.instance_type} is {hardware.arch}",
                mend="Name an image of that architecture, or none",
                retryable="no",
                disproves="type",
            )
        return image

    def _hardware(self, region: str, instance_type: str) -> Hardware:
        def ask() -> Hardware:
            with told(f"looking up {instance_type} in {region}"):
                answer = self._clients.ec2(region).describe_instance_types(InstanceTypes=[instance_type])
            return _hardware(answer["InstanceTypes"][0])

        return self._remembered(("type", region, instance_type), ask)

    def _parameter(self, region: str, name: str) -> str:
        def ask() -> str:
            with told(f"looking up the image {name} in {region}"):
                return str(self._clients.ssm(region).get_parameter(Name=name)["Parameter"]["Value"])

        return self._remembered(("parameter", region, name), ask)

    def _image(self, region: str, ami: str) -> Image:
        def ask() -> Image:
            with told(f"looking up the image {ami} in {region}"):
                found = self._clients.ec2(region).describe_images(ImageIds=[ami])["Images"]
            if not found:
                raise ProviderError(
                    f"there is no image {ami} in {region}",
                    retryable="no",
                    disproves="region",
                    mend="Name an image of this region, as `ami-...` or as the path of an SSM parameter",
                )
            return _image(found[0])

        return self._remembered(("image", region, ami), ask)

    def _remembered(self, key: tuple[str, ...], ask: Callable[[], T]) -> T:
        with self._lock:
            known = self._known.get(key)
        if known is not None and time.monotonic() - known[0] < REMEMBER_SECONDS:
            return cast("T", known[1])
        value = ask()
        with self._lock:
            self._known[key] = (time.monotonic(), value)
        return value


def parameter(hardware: Hardware, arch: str) -> str:
    """The public SSM parameter that names the newest image for this hardware."""
    if hardware.neuron:
        return _NEURON
    if hardware.gpus:
        return (_OLD_GPU if _OLD_GPUS & set(hardware.gpus) else _GPU).format(arch)
    return _UBUNTU.format(_CANONICAL_ARCH.get(arch, arch))


def disks(image: Image, request: NodeRequest, *, encrypted: bool) -> list[dict[str, Any]]:
    """The block devices of a machine: the root disk as asked, and none that outlives the machine."""
    tier = _TIERS_BY_OTHER_NAMES.get(request.disk_tier or "none", request.disk_tier or "")
    if tier not in _TIERS:
        mend = "Use low, medium, high, ultra or best"
        raise ProviderError(f"there is no disk tier {request.disk_tier!r} on AWS", mend=mend, retryable="no")
    kind, iops = _TIERS[tier]
    root: dict[str, Any] = {
        "VolumeSize": max(request.disk_gib, image.root_gib),
        "VolumeType": kind,
        "DeleteOnTermination": True,
    }
    if iops:
        root["Iops"] = iops
    if kind == "gp3":
        root["Throughput"] = iops // 16
    if encrypted:
        root["Encrypted"] = True
    others = [{"DeviceName": name, "Ebs": {"DeleteOnTermination": True}} for name in image.disks[1:]]
    return [{"DeviceName": image.root, "Ebs": root}, *others]


def _hardware(found: Mapping[str, Any]) -> Hardware:
    archs = found.get("ProcessorInfo", {}).get("SupportedArchitectures", [])
    gpus = tuple(gpu.get("Name", "") for gpu in found.get("GpuInfo", {}).get("Gpus", []))
    neuron = bool(found.get("NeuronInfo")) or found["InstanceType"].startswith(("trn", "inf"))
    arch = "arm64" if "arm64" in archs else "x86_64"
    nvidia = [gpu.get("Manufacturer") for gpu in found.get("GpuInfo", {}).get("Gpus", [])]
    return Hardware(arch, gpus if "NVIDIA" in nvidia else (), neuron)


def _image(found: Mapping[str, Any]) -> Image:
    root = str(found.get("RootDeviceName") or "/dev/sda1")
    volumes = {
        disk["DeviceName"]: disk["Ebs"] for disk in found.get("BlockDeviceMappings", []) if "Ebs" in disk
    }
    return Image(
        id=found["ImageId"],
        arch=str(found.get("Architecture", "x86_64")),
        root=root,
        root_gib=int(volumes.get(root, {}).get("VolumeSize") or 0),
        disks=(root, *sorted(set(volumes) - {root})),
    )
