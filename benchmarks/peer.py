"""SkyPilot's own figures, measured in the same run by its own scripts, in its own virtual environment."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

SCRIPTS = {
    "import": [["bench_import.py"]],
    "status": [["bench_cli.py"], ["bench_status.py", "--clusters", "1000", "--cli"]],
    "memory": [["bench_cli.py"]],
    "plan": [["bench_optimizer.py"], ["bench_list_yaml.py"]],
}
NEEDS_CATALOGS = {"bench_status.py", "bench_optimizer.py", "bench_list_yaml.py"}
_LINE = re.compile(r"^(.+?)\s+first\s+([\d.]+) ms\s+median\(rest\)\s+([\d.]+) ms", re.MULTILINE)
_MODULES = re.compile(r"modules (\d+) -> (\d+).*max RSS \d+ -> (\d+) MiB")
_MEMORY = re.compile(r"after all commands: (\d+) processes\s+RSS (\d+) MiB")
_COLD = re.compile(r"cold sky status with server auto-start ([\d.]+) s")


def measured(environment: Path, scripts: Path, parts: list[str]) -> dict[str, float]:
    """Figures by the names that rows carry: milliseconds, MiB or counts. What a script lacks is left out."""
    found: dict[str, float] = {}
    commands = [command for part in parts for command in SCRIPTS.get(part, ())]
    with tempfile.TemporaryDirectory(prefix="peer-bench-", ignore_cleanup_errors=True) as folder:
        env = {**os.environ, "PEER_BENCH_HOME": folder}
        if any(command[0] in NEEDS_CATALOGS for command in commands):
            _output(environment, scripts, ["make_catalogs.py"], env)
        for command in [list(words) for words in dict.fromkeys(map(tuple, commands))]:
            print(f"... {' '.join(command)}", flush=True)
            found |= figures(command[0], _output(environment, scripts, command, env))
    return found


def figures(script: str, text: str) -> dict[str, float]:
    """What one script printed."""
    found: dict[str, float] = {}
    for printed, first, rest in _LINE.findall(text):
        name = printed.strip()
        if script == "bench_status.py":
            name = "status 1000" if name == "sky status" else f"1000: {name}"
        found[name], found[f"{name} first"] = float(rest), float(first)
    if modules := _MODULES.search(text):
        found["modules"] = float(modules[2]) - float(modules[1])
        found["import rss"] = float(modules[3])
    if memory := _MEMORY.search(text):
        found["server processes"], found["server rss"] = float(memory[1]), float(memory[2])
    if cold := _COLD.search(text):
        found["status cold"] = float(cold[1]) * 1e3
    return found


def _output(environment: Path, scripts: Path, command: list[str], env: dict[str, str]) -> str:
    """What a script prints; one that fails is told of and counts for nothing."""
    argv = [str(environment / "bin/python"), str(scripts / command[0]), *command[1:]]
    try:
        done = subprocess.run(
            argv, check=False, env=env, cwd=scripts, capture_output=True, text=True, timeout=3600
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"    {command[0]}: {error}")
        return ""
    if done.returncode:
        print(f"    {command[0]} failed: {done.stderr.strip().splitlines()[-1:]}")
    return done.stdout
