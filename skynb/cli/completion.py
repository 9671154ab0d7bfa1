"""Shell completion: click's script in skynb's home, and one line in the shell's own file."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from skynb.client import server
from skynb.errors import SkynbError

_RC = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/config.fish"}
_SHELLS = ("bash", "zsh", "fish")
_MARK = "# skynb completion"


def install(shell: str) -> str:
    """Write the script and the line, once; says what was done."""
    shell = _shell(shell)
    from skynb.cli.tree import tree

    kind = get_completion_class(shell)
    if kind is None:
        raise SkynbError(f"click knows no completion for {shell}")
    script = _script(shell)
    script.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    script.write_text(kind(tree, {}, "skynb", "_SKYNB_COMPLETE").source())
    rc, line = Path(_RC[shell]).expanduser(), f'source "{script}" {_MARK}'
    text = rc.read_text() if rc.exists() else ""
    if line not in text.splitlines():
        rc.parent.mkdir(parents=True, exist_ok=True)
        with rc.open("a") as file:
            file.write(("" if not text or text.endswith("\n") else "\n") + line + "\n")
    return f"Wrote {script} and a line in {rc}. Open a new shell, or: source {script}"


def uninstall(shell: str) -> str:
    """Take both away."""
    shell = _shell(shell)
    rc = Path(_RC[shell]).expanduser()
    _script(shell).unlink(missing_ok=True)
    if rc.exists():
        kept = [line for line in rc.read_text().splitlines(keepends=True) if _MARK not in line]
        rc.write_text("".join(kept))
    return f"Removed {_script(shell)} and its line in {rc}."


def cluster_names(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of live clusters. Completing starts no server and never complains."""
    from skynb.client import sdk

    try:
        found = sdk.status() if server.card() else ()
    except SkynbError:
        return []
    return [CompletionItem(item.name, help=item.status) for item in found if item.name.startswith(incomplete)]


def _script(shell: str) -> Path:
    return server.home() / f"completion.{shell}"


def _shell(shell: str) -> str:
    if shell == "auto":
        shell = Path(os.environ.get("SHELL", "")).name
    if shell not in _SHELLS:
        raise SkynbError(f"{shell or 'this shell'} is not one of {', '.join(_SHELLS)}", mend="Name the shell")
    return shell
