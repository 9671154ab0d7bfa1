"""Kernels on nodes, as Jupyter's own programs use them: real server, real agents, real ipykernel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager

from skynb import kernels
from skynb.client import server
from skynb.errors import ConflictError, NotFoundError, SpecError
from skynb.kernels.handle import Kernel
from tests.support.remote import Remote, remote
from tests.support.site import site, until

pytestmark = [pytest.mark.timeout(180), pytest.mark.xdist_group("remote-kernels")]
NAME = "skynb-far"


@pytest.fixture(scope="module")
def here():
    with site() as made:
        made.launch("far", num_nodes=2, resources={"infra": "local"})
        until(lambda: NAME in KernelSpecManager().find_kernel_specs(), 60)
        yield made


@pytest.fixture
def far(here):
    with remote(NAME) as made:
        yield made


def test_a_cluster_that_is_up_has_a_kernelspec(here):
    """With a name that people read; no address, key or token in it."""
    found = KernelSpecManager().get_kernel_spec(NAME)
    assert found.display_name == "Python (far · this-machine)"
    assert found.metadata["kernel_provisioner"]["config"] == {"cluster": "far"}
    assert str(server.ensure()["token"]) not in json.dumps(found.to_dict())


def test_a_cell_runs_there(far, here):
    """Output, result, error, rich display, and a state that stays; nothing of this side's environment."""
    assert far.run("x = 20\nprint('hello')\nx + 1") == [("stdout", "hello\n"), ("result", "21")]
    assert far.run("1/0") == [("error", "ZeroDivisionError")]
    ((kind, bundle),) = far.run("from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))")
    assert (kind, bundle["text/html"]) == ("data", "<b>x</b>")
    assert "local/local-" in far.text("import os; print(os.getcwd())")
    assert far.text("print(os.environ.get('SECRET'))") == "None\n"
    assert far.text("print(x)") == "20\n"


def test_a_kernel_starts_where_jobs_do(here, tmp_path):
    """In the workdir where one was sent: its modules are found, its files opened by their names."""
    (tmp_path / "told.py").write_text("what = open('said.txt').read()")
    (tmp_path / "said.txt").write_text("from the workdir")
    here.launch("worked", workdir=str(tmp_path), run="true")
    until(lambda: here.job("worked", 1).status == "SUCCEEDED", 60)
    until(lambda: "skynb-worked" in KernelSpecManager().find_kernel_specs(), 60)
    with remote("skynb-worked") as kernel:
        assert kernel.text("import os, told; print(told.what, os.path.basename(os.getcwd()))") == (
            "from the workdir sky_workdir\n"
        )
    (home,) = (path / "disk/home" for path in (here.home / "local").glob("local-*") if runs(path, "worked"))
    (home / "own").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (home / "own").chmod(0o755)
    with remote(kernels.add("worked", "own", python="./own")) as kernel:
        assert kernel.text("print('a Python named from the home')") == "a Python named from the home\n"
    here.down("worked")


def runs(machine: Path, cluster: str) -> bool:
    return json.loads((machine / "machine.json").read_bytes())["tags"]["skynb-cluster"] == cluster


def test_questions_are_answered_here(far):
    """`input()` there asks this side."""
    number = far.client.execute("print('got', input('name? '))", allow_stdin=True)
    asked = far.client.get_stdin_msg(timeout=20)
    assert asked["content"]["prompt"] == "name? "
    far.client.input("Ada")
    assert far.outputs(number)[-1] == ("stdout", "got Ada\n")


def test_interrupt_restart_and_exit(far):
    """As with any kernel: an interrupt ends the cell, a restart the state, an exit is seen."""
    number = far.client.execute("import time\nprint('on')\ntime.sleep(60)")
    until(lambda: far.client.get_iopub_msg(timeout=20)["content"].get("text") == "on\n", 30)
    far.manager.interrupt_kernel()
    assert ("error", "KeyboardInterrupt") in far.outputs(number)
    far.run("kept = 1")
    far.manager.restart_kernel()
    far.client.wait_for_ready(timeout=60)
    assert far.run("kept") == [("error", "NameError")]
    far.client.execute("import os; os._exit(7)")
    until(lambda: not far.manager.is_alive(), 30)
    assert far.manager.provisioner._relay.exit_code == 7


def test_a_killed_kernel_is_seen_with_its_signal(far):
    """137, as a shell would say."""
    pid = int(far.text("import os; print(os.getpid())"))
    os.kill(pid, signal.SIGKILL)
    until(lambda: not far.manager.is_alive(), 30)
    assert far.manager.provisioner._relay.exit_code == 137


def test_shutdown_leaves_nothing(here):
    """No process on the node, no folder here, and the record says that it has ended."""
    with remote(NAME) as made:
        pid = int(
            made.text("import os, subprocess; c = subprocess.Popen(['sleep', '300']); print(os.getpid())")
        )
        child = int(made.text("print(c.pid)"))
        folder = Path(made.manager.ip).parent
        (own,) = [one for one in kernels.ls("far") if one.attached]
    assert not folder.exists()
    until(lambda: not alive(pid) and not alive(child), 20)
    until(lambda: own.id not in [one.id for one in kernels.ls("far")], 20)
    (ended,) = [one for one in kernels.ls("far", ended=True) if one.id == own.id]
    assert ended.status == "ENDED"


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_server_may_go_and_the_cell_goes_on(far, here, how):
    """Killed or stopped in the middle of a cell, it is started again and nothing of the cell is lost."""
    number = far.client.execute("import time\nfor i in range(30):\n    print(i)\n    time.sleep(0.1)\n'end'")
    time.sleep(0.7)
    if how == "kill":
        here.kill_server()
    else:
        server.stop()
    found = far.outputs(number, 90)
    assert "".join(text for kind, text in found if kind == "stdout") == "".join(f"{i}\n" for i in range(30))
    assert found[-1] == ("result", "'end'")


def test_a_cell_that_ends_while_nobody_listens_shows_its_end(far, here):
    """The line is gone for longer than the cell takes; what is asked meanwhile runs once, afterwards."""
    pid = here.server_pid()
    number = far.client.execute("import time\ncount = 1\ntime.sleep(1)\nprint('done', flush=True)\ncount")
    time.sleep(0.5)
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(1.5)
        later = far.client.execute("count += 1\ncount")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert far.outputs(number) == [("stdout", "done\n"), ("result", "1")]
    assert far.outputs(later) == [("result", "2")]


def test_a_new_server_of_jupyter_takes_the_kernel_up_again(here, tmp_path):
    """The one before vanished without a word; the notebook of the same path finds its state."""
    script = (
        "import os, sys\nfrom tests.support.remote import Remote\n"
        f"made = Remote({NAME!r}, 'work/study.ipynb')\nmade.run('found = 42')\nos._exit(0)\n"
    )
    vanish(script, tmp_path)
    until(lambda: not any(one.attached for one in kernels.ls("far")), 30)
    with remote(NAME, "work/other.ipynb") as other:
        assert other.run("found") == [("error", "NameError")]
    with remote(NAME, "work/study.ipynb") as again:
        assert again.run("found") == [("result", "42")]


def test_a_kernel_that_nobody_comes_back_to_ends_and_says_why(here, tmp_path):
    """Its lease is of the kernelspec; while it works, it does not end."""
    assert kernels.add("far", "brief", lease_hours=1.5 / 3600) == "skynb-far-brief"
    script = (
        "import os\nfrom tests.support.remote import Remote\n"
        "made = Remote('skynb-far-brief')\nmade.client.execute('import time; time.sleep(4)')\n"
        "import time; time.sleep(0.5)\nos._exit(0)\n"
    )
    vanish(script, tmp_path)
    left = until(lambda: [one for one in kernels.ls("far") if one.status == "UP"], 20)
    time.sleep(2)
    assert [one.status for one in kernels.ls("far") if one.id == left[-1].id] == ["UP"]
    ended = until(
        lambda: [one for one in kernels.ls("far", ended=True) if one.id == left[-1].id and one.final], 40
    )
    assert "nobody was attached" in ended[0].reason


def test_nbconvert_runs_a_notebook_there(here, tmp_path):
    """Headless, on the other node, by the name of the kernel alone."""
    assert kernels.add("far", "second", rank=1) == "skynb-far-second"
    cells = ["import os\nprint(os.getcwd())", "6 * 7"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "a.ipynb")
    argv = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "a.ipynb", "--output", "b"]
    argv += ["--ExecutePreprocessor.kernel_name=skynb-far-second"]
    subprocess.run(argv, check=True, cwd=tmp_path, timeout=120, capture_output=True)
    done = nbformat.read(tmp_path / "b.ipynb", as_version=4)
    assert done.cells[1].outputs[0]["data"]["text/plain"] == "42"
    first = next(iter(here.machines()[1].glob("disk/home")), None)
    assert str(first) in done.cells[0].outputs[0]["text"]


def test_what_cannot_be_says_so(here):
    """One message each, and no kernel is written for it."""
    before = len(kernels.ls("far", ended=True))
    with pytest.raises(SpecError, match="nodes 0 to 1"):
        kernels.add("far", "third", rank=2)
    with pytest.raises(SpecError, match="no name"):
        kernels.add("far", "../up")
    with pytest.raises(NotFoundError, match="no cluster 'near'"):
        kernels.add("near", "x")
    for wrong in ({"rank": 2}, {"rank": -1}, {"lease_hours": 0.0}, {"lease_hours": 9e9}):
        with pytest.raises(SpecError, match=r"nodes 0 to 1|a lease is"):
            Kernel("far").start(**wrong)
    with pytest.raises(NotFoundError, match="no kernel 999"):
        kernels.stop("far", [999])
    assert len(kernels.ls("far", ended=True)) == before


def test_a_python_without_ipykernel_says_so(here, tmp_path):
    """The reason is what the person reads who waits for the kernel."""
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    bare.chmod(0o755)
    kernels.add("far", "bare", python=str(bare))
    with pytest.raises(Exception, match="add `pip install ipykernel`"):
        Remote("skynb-far-bare")


def test_stop_ends_a_kernel_and_its_client_hears_of_it(far):
    """From outside, by number; again is no error."""
    (own,) = [one for one in kernels.ls("far") if one.attached]
    (ended,) = kernels.stop("far", [own.id])
    assert ended.final
    until(lambda: not far.manager.is_alive(), 20)
    assert kernels.stop("far", [own.id])[0].status == "ENDED"


def test_the_way_is_shut_to_strangers(here):
    """No token, no line; and none to a kernel that is not there."""
    from tornado.httpclient import HTTPClientError, HTTPRequest
    from tornado.ioloop import IOLoop
    from tornado.websocket import websocket_connect

    card = server.ensure()
    address = str(card["url"]).replace("http", "ws", 1) + "/skynb/api/v1/clusters/far/kernels/"

    def status(rest: str, token: str) -> int:
        headers = {"Authorization": f"token {token}"} if token else {}
        request = HTTPRequest(address + rest, headers=headers)
        try:
            IOLoop().run_sync(lambda: websocket_connect(request))
        except HTTPClientError as error:
            return error.code
        return 101

    token = str(card["token"])
    assert [status("1/channel", ""), status("1/channel", "wrong")] == [403, 403]
    assert [status("999/channel", token), status("one/channel", token)] == [404, 400]


def test_down_takes_kernels_and_kernelspecs_along(here):
    """And a spec that was left behind goes with `prune`."""
    here.launch("brief", resources={"infra": "local"})
    until(lambda: "skynb-brief" in KernelSpecManager().find_kernel_specs(), 60)
    with remote("skynb-brief") as made:
        here.down("brief")
        until(lambda: not made.manager.is_alive(), 60)
    until(lambda: here.cluster("brief").final, 60)
    until(lambda: "skynb-brief" not in KernelSpecManager().find_kernel_specs(), 20)
    with pytest.raises(ConflictError, match="TERMINATED"):
        kernels.add("brief", "again")
    assert kernels.prune() == []


def test_a_machine_that_is_gone_takes_its_kernels_along(here):
    """Whoever has such a kernel hears of it, and the record says why."""
    here.launch("frail", resources={"infra": "local"})
    until(lambda: "skynb-frail" in KernelSpecManager().find_kernel_specs(), 60)
    with remote("skynb-frail") as made:
        cards = [json.loads(path.read_bytes()) for path in here.home.glob("local/*/machine.json")]
        (card,) = [card for card in cards if card["tags"]["skynb-cluster"] == "frail"]
        os.kill(card["init_pid"], signal.SIGKILL)
        until(lambda: not made.manager.is_alive(), 60)
    (ended,) = kernels.ls("frail", ended=True)
    assert "gone" in ended.reason
    here.down("frail")


def vanish(script: str, folder: Path) -> None:
    """Run a script that ends without a word; what it leaves of its own is in the folder."""
    env = os.environ | {"TMPDIR": str(folder)}
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=root, env=env, timeout=90)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False
