"""What importing the user's faces costs, counted in modules."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    "IPython",
    "aiohttp",
    "asyncio",
    "cryptography",
    "distributed",
    "httpx",
    "jupyter_server",
    "numpy",
    "pandas",
    "requests",
    "rich",
    "sqlalchemy",
    "tornado",
    "yaml",
)


def loaded(script):
    """Modules after a script in a fresh interpreter."""
    program = f"import sys\n{script}\nimport json; print('\\n' + json.dumps(sorted(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(answer.stdout.splitlines()[-1]))


def test_import_skynb_is_bare():
    """`import skynb` loads nothing but itself."""
    found = loaded("import skynb")
    assert {name for name in found if name.startswith("skynb")} == {"skynb", "skynb._version"}
    assert not found & {*HEAVY, "msgspec", "click", "http"}


def test_the_sdk_needs_msgspec_only():
    """`skynb.client.sdk` is the standard library and msgspec."""
    assert not loaded("import skynb.client.sdk") & {*HEAVY, "click", "skynb.spec", "skynb.planning"}


@pytest.mark.parametrize(
    ("line", "not_wanted"),
    [
        (["--help"], {"msgspec", "skynb.client", "skynb.wire", "http"}),
        (["server", "status"], {"skynb.spec", "skynb.planning"}),
        (["launch", "--help"], {"msgspec", "skynb.client", "skynb.spec"}),
    ],
)
def test_commands_load_what_they_need(line, not_wanted):
    """Help is click alone; what asks the server loads no spec and no catalog."""
    found = loaded(f"from skynb.cli.terminal import run\nrun({line!r})")
    assert not found & {*HEAVY, *not_wanted}


def test_loading_the_extension_brings_nothing_new():
    """`%load_ext skynb` in a live IPython imports only the magics themselves: no click, no client."""
    script = (
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "before = set(sys.modules)\n"
        "shell.run_line_magic('load_ext', 'skynb')\n"
        "assert 'sky' in shell.magics_manager.magics['cell']\n"
        "print(*(name for name in sys.modules if name not in before))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", f"import sys\n{script}"], capture_output=True, text=True, check=True
    )
    assert set(answer.stdout.split()) <= {
        "IPython.core.magics.extension",  # %load_ext itself
        "skynb",
        "skynb._version",
        "skynb_magics",
        "skynb_magics.completion",
    }
