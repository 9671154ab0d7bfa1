"""Kernels of notebooks in a real Jupyter server, over its own API, and what becomes of them when it stops."""

from __future__ import annotations

import signal

import pytest
from jupyter_client.kernelspec import KernelSpecManager

from skynb import kernels
from tests.support.jupyter import jupyter
from tests.support.site import site, until

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("remote-kernels")]


@pytest.fixture(scope="module")
def here():
    with site() as made:
        made.launch("lab", resources={"infra": "local"})
        until(lambda: "skynb-lab" in KernelSpecManager().find_kernel_specs(), 60)
        yield made


def test_a_notebook_has_its_kernel_there(here, tmp_path):
    """Started, interrupted, restarted and shut down by the server's API, as Lab does it."""
    with jupyter(tmp_path) as server:
        specs = server.ask("GET", "api/kernelspecs")["kernelspecs"]
        assert specs["skynb-lab"]["spec"]["display_name"] == "Python (lab · this-machine)"
        kernel = server.open("study.ipynb")
        assert "local/local-" in server.run(kernel, "import os; print(os.getcwd()); kept = 1")
        assert [one.session.endswith("study.ipynb") for one in kernels.ls("lab")] == [True]
        server.ask("POST", f"api/kernels/{kernel}/restart")
        assert server.run(kernel, "print('kept' in globals())") == "False\n"
        server.ask("DELETE", f"api/kernels/{kernel}")
        until(lambda: not kernels.ls("lab"), 30)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_stops_leaves_the_kernel(here, tmp_path, how):
    """Asked to stop, or killed: the notebook finds its kernel and what it held on the next server."""
    with jupyter(tmp_path) as first:
        first.run(first.open("long.ipynb"), "found = 42")
        first.stop(how)
    until(lambda: [one.attached for one in kernels.ls("lab")] == [False], 30)
    with jupyter(tmp_path) as second:
        kernel = second.open("long.ipynb")
        assert second.run(kernel, "print(found)") == "42\n"
        second.ask("DELETE", f"api/kernels/{kernel}")
    until(lambda: not kernels.ls("lab"), 30)
