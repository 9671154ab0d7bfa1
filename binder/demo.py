"""`make demo`: run quickstart.ipynb headless in a home of its own; only the executed notebook stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 600


def main(output: Path = HERE / "quickstart.executed.ipynb") -> int:
    """Execute the notebook into `output`; exit status 0 when every cell ran and nothing was left behind."""
    output.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="skynb-demo-") as home:
        environment = os.environ | {
            "SKYNB_HOME": home,
            "JUPYTER_DATA_DIR": str(Path(home) / "jupyter"),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        }
        command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute"]
        command += [f"--ExecutePreprocessor.timeout={SECONDS}", "--output", str(output)]
        print("Running binder/quickstart.ipynb: two local machines, training, Dask, the bill ...", flush=True)
        try:
            ran = subprocess.run(
                [*command, str(HERE / "quickstart.ipynb")], env=environment, timeout=SECONDS, check=False
            )
        finally:
            give_back(environment)
    if ran.returncode == 0:
        print(f"Done. Open {output.relative_to(Path.cwd()) if output.is_relative_to(Path.cwd()) else output}")
    return ran.returncode


def give_back(environment: dict[str, str]) -> None:
    """Whatever happened, no machine and no server of this demo stays."""
    for verb in (["down", "--all", "-y"], ["server", "stop"]):
        subprocess.run(
            [sys.executable, "-m", "skynb.cli", *verb],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )


if __name__ == "__main__":
    raise SystemExit(main(*map(Path, sys.argv[1:])))
