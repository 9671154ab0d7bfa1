"""Magics in an IPython without a kernel, and the live display without a server."""

import json
import signal
import threading

import pytest
from IPython.core.error import UsageError
from IPython.testing.globalipapp import start_ipython

from skynb.client.follow import Change, End
from skynb.client.listings import Servers
from skynb.errors import JobFailed
from skynb.wire import JobInfo, LogLine
from skynb_magics import cell, completion
from skynb_magics.live import KEPT_CHARACTERS, KEPT_LINES, Live, visible

EVIL = "<script>alert(1)</script>"


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """An IPython with the extension, and a home where no server runs."""
    monkeypatch.setenv("SKYNB_HOME", str(tmp_path))
    start_ipython()
    from IPython import get_ipython

    found = get_ipython()
    found.run_line_magic("load_ext", "skynb")
    yield found
    found.run_line_magic("unload_ext", "skynb")


def matchers(shell):
    return [
        one for one in shell.Completer.custom_matchers if "skynb" in getattr(one, "matcher_identifier", "")
    ]


def test_loading_twice_and_unloading(shell):
    """One matcher however often it is loaded, none and no magic after unloading."""
    shell.run_line_magic("reload_ext", "skynb")
    assert len(matchers(shell)) == 1
    shell.run_line_magic("unload_ext", "skynb")
    assert matchers(shell) == []
    assert "sky" not in shell.magics_manager.magics["line"]
    shell.run_line_magic("unload_ext", "skynb")
    shell.run_line_magic("load_ext", "skynb")
    assert len(matchers(shell)) == 1


def test_a_command_returns_its_object(shell):
    """`x = %sky ...` holds what the command found, and as plain data with -o json."""
    shell.run_cell("x = %sky server status\ny = %sky server status -o json", silent=True).raise_error()
    assert isinstance(shell.user_ns["x"], Servers)
    assert shell.user_ns["y"] == []


def test_variables_are_filled_in(shell):
    """`$name` and `{name}` as in every magic; the shell's own variables stay."""
    shell.user_ns.update(which="server", what="status")
    shell.run_cell("x = %sky $which {what}", silent=True).raise_error()
    assert shell.user_ns["x"] == []


def test_mistakes_have_no_traceback(shell, capsys):
    """A wrong option is IPython's usage error; a wrong task is one line of ours."""
    result = shell.run_cell("%sky status --nope")
    assert isinstance(result.error_in_exec, UsageError)
    result = shell.run_cell("%%sky plan --cpus lots\ntrue")
    out, err = capsys.readouterr()
    assert "UsageError: sky status: No such option" in err.replace("'", "")
    assert "SpecError: resources.cpus: " in out + err
    assert "Traceback" not in out + err


def test_help(shell, capsys):
    """`%sky` alone is help, and gives nothing."""
    assert shell.run_line_magic("sky", "") is None
    assert "Commands:" in capsys.readouterr().out


def test_a_plan_in_a_cell(shell):
    """The cell is the task, no server is asked."""
    found = shell.run_cell_magic("sky", "plan --infra aws", "resources: {accelerators: A100:8}\n")
    assert found.choice.accelerator == "A100"
    assert "text/html" in found._repr_mimebundle_()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("%sky st", {"start", "status", "stop"}),
        ("%%sky launch --dry", {"--dryrun"}),
        ("x = %sky st", {"start", "status", "stop"}),
        ("!skynb server lo", {"logs"}),
        ("sky st", set()),
        ("%skyline st", set()),
    ],
)
def test_completion_in_cells(shell, line, expected):
    """Where a skynb line begins, the tree completes it, and nowhere else."""
    from IPython.core.completer import CompletionContext

    context = CompletionContext(
        token=line.rpartition(" ")[2], full_text=line, cursor_position=len(line), cursor_line=0, limit=None
    )
    found = completion.matcher()(context)
    assert {item.text for item in found["completions"]} == expected
    assert found["suppress"] is bool(expected)


class Updates(list):
    """What a Follower would give."""

    def __enter__(self):
        return iter(self)

    def __exit__(self, *_):
        return None


class Handle:
    """A launch of which nobody knows but this test."""

    cluster, job_id, num_nodes, hourly_micro = "c", 1, 1, 41_600

    def __init__(self, *updates):
        self.updates = updates

    def status(self):
        return "INIT"

    def ways_on(self, program):
        return f"follow: {program} logs c 1"

    def spent_micro(self):
        return 1_200

    def follow(self):
        return Updates(self.updates)


@pytest.fixture
def shown(monkeypatch):
    """Each state of the display, in order."""
    states = []

    class Shown:
        def update(self, bundle, raw):
            states.append(bundle)

    def display(bundle, raw, display_id):
        states.append(bundle)
        return Shown()

    monkeypatch.setattr("IPython.display.display", display)
    return states


def job(status="SUCCEEDED"):
    return JobInfo(cluster="c", id=1, name="", status=status, user="", num_nodes=1, final=True)


def test_the_last_state_is_what_stays(shown):
    """State, place, price, lines with their number, all escaped, in text and in HTML."""
    live = Live(
        Handle(Change("cluster UP"), LogLine(rank=0, text=f"{EVIL}\n\x1b[31mred\x1b[0m\nopen"), End(job()))
    )
    assert live.run().status == "SUCCEEDED"
    last = shown[-1]
    for part in ("SUCCEEDED", "job 1 on c", "$0.0416/h", "$0.0012 spent", "red", "open", "3 lines"):
        assert part in last["text/plain"]
        assert part in last["text/html"]
    assert "<script" not in last["text/html"]
    assert "&lt;script&gt;" in last["text/html"]
    assert "\x1b" not in json.dumps(last)


def test_a_flood_is_throttled_and_cut(shown):
    """Ten thousand pieces are a few updates; the last lines stay, and where to read the others is said."""
    pieces = [LogLine(rank=0, text=f"line {number}\n") for number in range(10_000)]
    Live(Handle(*pieces, End(job()))).run()
    assert len(shown) < 30
    text = shown[-1]["text/plain"]
    assert "line 9999" in text
    assert "line 9799\n" not in text
    assert f"10000 lines, the last {KEPT_LINES} are here; all of them: %sky logs c 1" in text


def test_interrupting_leaves(shown):
    """No error; the display says how to go on."""

    class Interrupted(Handle):
        def follow(self):
            raise KeyboardInterrupt

    assert Live(Interrupted()).run() is None
    assert "Detached, the work goes on. To follow: %sky logs c 1" in shown[-1]["text/html"]


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("10%\r50%\r100%", "100%"),
        ("\x1b[1;32mok\x1b[0m", "ok"),
        ("\x1b]0;title\x07ok", "ok"),
        ("tab\tbell\x07", "tab\tbell"),
        ("x" * 5000, "x" * (KEPT_CHARACTERS - 1) + "…"),
    ],
)
def test_a_line_is_what_a_terminal_would_show(line, seen):
    """Progress bars leave their last state, colours and controls nothing."""
    assert visible(line) == seen


def test_no_thread_and_no_handler_is_left():
    """The magics install no signal handler and start no thread by themselves."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not [thread for thread in threading.enumerate() if thread.name == "skynb-follow"]


def test_a_cell_is_handed_over_as_a_managed_job(server, capsys):
    """The cell's script runs as a job; its log is the cell's output, and a failure stops the notebook."""
    handle = cell.run(None, "jobs launch -n from-a-cell --infra local", "echo from a cell")
    assert "from a cell" in capsys.readouterr().out.splitlines()
    assert handle.result(timeout=30)[0].status == "SUCCEEDED"
    with pytest.raises(JobFailed, match="FAILED"):
        cell.run(None, "jobs launch --infra local", "exit 3")
    assert [job.name for job in cell.run(None, "jobs queue -n from-a-cell", None)] == ["from-a-cell"]
