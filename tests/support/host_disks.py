"""What is on a test host's disk, and the scripts that plug it in and boot it.

The lower layer is this machine's `/`, so that hosts have its programs and need no download. Folders that
could hold anything of ours are opaque in the upper layer: empty at first, kept from boot to boot.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

SEEN = {"bin", "etc", "lib", "lib32", "lib64", "libx32", "sbin", "usr", "var"}
HIDDEN = ("var/tmp", "var/log", "var/cache", "usr/local")
CHECKOUT = Path(__file__).resolve().parents[2]

SSHD = """
HostKey /etc/ssh/lab_host_key
PermitRootLogin prohibit-password
UsePAM no
UseDNS no
PrintMotd no
PidFile none
Subsystem sftp internal-sftp
MaxStartups 200
"""

# name, cable, address, hardware address, gateway. The name space stays when the host is killed.
PLUG = """
cd "/run/hosts/$1"
mount -t overlay -o "lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work" overlay "$PWD/root"
ip netns add "$1"
ip link add "$2" type veth peer name eth0 address "$4" netns "$1"
ip link set "$2" master br0 up
ip -n "$1" address add "$3/24" dev eth0
ip -n "$1" link set lo up
ip -n "$1" link set eth0 up
ip -n "$1" route add default via "$5"
"""

# name, folder
SHOW = """
place="/run/hosts/$1/root$2"
mkdir -p "$place"
mount --bind "$2" "$place"
mount -o remount,bind,ro "$place"
"""

UNPLUG = """
ip link delete "$2"
ip netns delete "$1"
umount -l "/run/hosts/$1/root"
rm -rf "/run/hosts/$1"
"""

_INIT = """
set -e
hostname "$1"
cd "/run/hosts/$1/root"
mkdir -p .old && pivot_root . .old
mount -t proc proc /proc
mount -t sysfs -o ro sysfs /sys
mount -t tmpfs -o mode=755 tmpfs /dev
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /dev/pts /dev/shm /run/sshd
for device in null zero full random urandom; do
    touch "/dev/$device" && mount --bind "/.old/dev/$device" "/dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
ln -s pts/ptmx /dev/ptmx && ln -s /proc/self/fd /dev/fd
umount -l /.old && rmdir /.old
exec /usr/sbin/sshd -D -e -f /etc/ssh/lab_config
"""

_NVIDIA_SMI = """#!/usr/bin/python3
import sys
COUNT, MODEL, MIB = {count}, {model!r}, {mib}
if COUNT < 0:
    print("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.")
    sys.exit(9)
if COUNT == 0:
    print("No devices were found")
    sys.exit(6)
asked = [word for word in sys.argv[1:] if word.startswith("--query-gpu=")]
shown = " ".join(sys.argv[1:])
unit = "" if "nounits" in shown else " MiB"
for index in range(COUNT):
    facts = {{"index": str(index), "name": MODEL, "uuid": "GPU-%08d" % index, "memory.total": str(MIB) + unit,
             "memory.used": "0" + unit, "utilization.gpu": "0", "driver_version": "550.00"}}
    if asked:
        print(", ".join(facts.get(name, "[N/A]") for name in asked[0].partition("=")[2].split(",")))
    else:
        print("GPU %d: %s (UUID: %s)" % (index, MODEL, facts["uuid"]))
"""


def init(name: str) -> list[str]:
    """The argv that boots a host, for the lab's namespaces."""
    own = ["unshare", "--fork", "--kill-child", "--pid", "--mount", "--uts", "--ipc", "--"]
    return ["nsenter", f"--net=/run/netns/{name}", *own, "/bin/sh", "-c", _INIT, "init", name]


def prepare(upper: Path) -> None:
    """Make an upper layer that hides what is ours."""
    upper.mkdir(parents=True)
    upper.chmod(0o755)
    names = {entry.name for entry in Path("/").iterdir() if entry.is_dir() and not entry.is_symlink()}
    hidden = [*(names - SEEN), *HIDDEN]
    if CHECKOUT.parts[1] in SEEN:
        hidden.append(str(CHECKOUT.relative_to("/")))
    for name in hidden:
        _opaque(upper, name)
    for name in ("usr/local/bin", "usr/local/sbin", "root"):
        (upper / name).mkdir(mode=0o755, parents=True, exist_ok=True)
    (upper / "root").chmod(0o700)
    for name in ("tmp", "var/tmp"):
        (upper / name).chmod(0o1777)


def _opaque(upper: Path, name: str) -> None:
    """An empty folder in place of the one below; its parents let what is below them through."""
    here = upper
    for part in Path(name).parts:
        here /= part
        if not here.exists():
            here.mkdir()
            here.chmod(0o755)
    os.setxattr(here, "trusted.overlay.opaque", b"y")


def write_key(path: Path) -> str:
    """A fresh key pair: the private half at `path`, the public half as the answer, one line."""
    key = Ed25519PrivateKey.generate()
    data = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def write_identity(disk: Path, name: str, public_key: str) -> None:
    """A host name, a host key, sshd's settings, and root's login."""
    (disk / "etc/hostname").write_text(f"{name}\n")
    (disk / "etc/hosts").write_text(f"127.0.0.1 localhost {name}\n")
    (disk / "etc/environment").write_text("")
    renew_host_key(disk)
    (disk / "etc/ssh/lab_config").write_text(SSHD)
    _authorize(disk / "root", 0, public_key)


def renew_host_key(disk: Path) -> str:
    """Another host key, as of a machine made anew; counts from the next boot. The public half."""
    return write_key(disk / "etc/ssh/lab_host_key")


def add_user(disk: Path, name: str, public_key: str, *, sudo: bool, password: str) -> None:
    """A login with a home and the next free number."""
    number = 2000 + sum(line.count("/home/") for line in (disk / "etc/passwd").read_text().splitlines())
    secret = "*"
    if password:
        secret = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"], input=password, check=True, capture_output=True, text=True
        ).stdout.strip()
    _append(disk / "etc/passwd", f"{name}:x:{number}:{number}::/home/{name}:/bin/bash\n")
    _append(disk / "etc/group", f"{name}:x:{number}:\n")
    _append(disk / "etc/shadow", f"{name}:{secret}:19000:0:99999:7:::\n")
    home = disk / "home" / name
    home.mkdir(mode=0o750)
    os.chown(home, number, number)
    _authorize(home, number, public_key)
    if sudo and (disk / "usr/bin/sudo").exists():
        rule = disk / "etc/sudoers.d" / name
        rule.write_text(f"{name} ALL=(ALL) NOPASSWD: ALL\n")
        rule.chmod(0o440)


def write_gpus(disk: Path, count: int, model: str, mib: int) -> None:
    """An nvidia-smi that tells of these GPUs."""
    path = disk / "usr/local/bin/nvidia-smi"
    path.write_text(_NVIDIA_SMI.format(count=count, model=model, mib=mib))
    path.chmod(0o755)


def _authorize(home: Path, owner: int, public_key: str) -> None:
    folder = home / ".ssh"
    folder.mkdir(mode=0o700, exist_ok=True)
    keys = folder / "authorized_keys"
    keys.write_text(f"{public_key}\n")
    for path in (folder, keys):
        os.chown(path, owner, owner)


def _append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line)
