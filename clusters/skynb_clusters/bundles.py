"""A job's working folder, as it was when the job was asked for: packed then, unpacked on every node later."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from skynb.control.clock import new_id
from skynb.errors import ProviderError, SpecError
from skynb_clusters.contract import Transport

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

WORKDIR = "sky_workdir"
UNPACK_SECONDS = 600.0
IGNORE_FILES = (".skyignore", ".gitignore")  # the first that is there counts


class Bundles:
    """Packed folders under `folder`, by reference."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def pack(self, source: str) -> str:
        """Pack a folder of this machine; the answer is its reference. SpecError if it cannot be read."""
        root = Path(source).expanduser()
        if not root.is_dir():
            raise SpecError(f"there is no folder {root}", where="workdir")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reference = new_id("bundle")
        draft = self._folder / f".{reference}"
        try:
            with draft.open("wb") as file:
                with tarfile.open(fileobj=file, mode="w") as archive:
                    for path in _chosen(root):
                        archive.add(path, path.relative_to(root).as_posix(), recursive=False)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise SpecError(f"{root} cannot be packed", why=str(error), where="workdir") from error
        draft.replace(self._folder / reference)
        return reference

    def drop(self, reference: str) -> None:
        """Forget it; dropping twice does nothing."""
        (self._folder / reference).unlink(missing_ok=True)

    def unpack(self, reference: str, transport: Transport) -> None:
        """Lay the folder over the node's working folder; blocks. ProviderError if the node cannot take it."""
        agent = [*transport.python, f"{transport.root}/agent.pyz"]
        process = transport.exec([*agent, "unpack", WORKDIR, "--root", transport.root])
        try:
            with (self._folder / reference).open("rb") as file:
                _copy(file, process.stdin)
            process.stdin.close()
            if process.wait(UNPACK_SECONDS) != 0:
                raise ProviderError("the node did not take the workdir", why=process.stderr_tail().strip())
        except (OSError, TimeoutError) as error:
            why = process.stderr_tail().strip() or str(error)
            raise ProviderError("the node did not take the workdir", why=why) from error
        finally:
            process.close()


def _chosen(root: Path) -> Iterator[Path]:
    """What travels: everything but `.git` and what the ignore file names; folders before what is in them."""
    ignored = _ignored(root)
    for folder, names, files in os.walk(root):
        here = Path(folder)
        inside = here.relative_to(root)
        names[:] = sorted(
            name
            for name in names
            if name != ".git" and not _matches(ignored, f"{(inside / name).as_posix()}/")
        )
        for name in sorted([*names, *files]):
            path = here / name
            if name in names or not _matches(ignored, (inside / name).as_posix()):
                yield path


def _ignored(root: Path) -> GitIgnoreSpec | None:
    from pathspec import GitIgnoreSpec

    for name in IGNORE_FILES:
        if (root / name).is_file():
            return GitIgnoreSpec.from_lines((root / name).read_text(errors="replace").splitlines())
    return None


def _matches(ignored: GitIgnoreSpec | None, path: str) -> bool:
    return ignored is not None and ignored.match_file(path)


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while data := source.read(1 << 20):
        view = memoryview(data)
        while view:
            view = view[target.write(view) :]  # an unbuffered pipe takes what it can
