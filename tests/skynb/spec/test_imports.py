"""What importing the spec costs."""

import subprocess
import sys


def test_importing_the_spec_is_cheap():
    """`skynb.spec` loads no YAML, no msgspec and no click until they are used, and `skynb` not even it."""
    script = "import sys, skynb; a = 'skynb.spec' in sys.modules; import skynb.spec; print(a, *sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert loaded[0] == "False"
    assert not {"yaml", "msgspec", "click", "difflib"} & set(loaded)


def test_public_names():
    """The names that users type resolve at the top."""
    import skynb
    import skynb.spec

    assert skynb.Task is skynb.spec.Task
    assert all(hasattr(skynb.spec, name) for name in skynb.spec.__all__)
