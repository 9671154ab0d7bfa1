"""The command line against a real server."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from skynb.cli.terminal import Terminal, run
from skynb.client import sdk

pytestmark = pytest.mark.xdist_group("server")


@pytest.fixture
def skynb(server, capsys):
    """Run a line: its exit code, standard output and standard error."""

    def call(*words):
        code = run(words)
        return (code, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def box(server):
    """A cluster of one node."""
    assert run(["launch", "-c", "box", "--infra", "local", "-y"]) == 0
    return "box"


def test_launch_follows_to_the_end(skynb):
    """The log on standard output, states beside it, the job's exit code."""
    code, out, err = skynb(
        "launch", "-c", "two", "--infra", "local", "--num-nodes", "2", "echo $SKYNB_NODE_RANK"
    )
    assert code == 0
    assert sorted(out.splitlines()) == ["(rank 0) 0", "(rank 1) 1"]
    for words in (
        "Launching two: 2× this-machine on local",
        "cluster UP",
        "job 1 RUNNING",
        "SUCCEEDED after",
    ):
        assert words in err
    assert skynb("down", "t*o")[0] == 0
    code, _, err = skynb("status", "two")
    assert (code, "there is no cluster 'two'" in err) == (1, True)
    assert "TERMINATED" in skynb("status", "two", "-a")[1]


@pytest.mark.parametrize(("script", "code"), [("true", 0), ("exit 7", 100)])
def test_exit_codes_of_jobs(skynb, box, script, code):
    """Exec and logs exit as the job ended."""
    assert skynb("exec", box, script)[0] == code
    assert skynb("logs", box)[0] == code
    assert skynb("logs", box, "--status")[0] == code


def test_exit_codes_of_jobs_that_go_on_or_are_not_there(skynb, box):
    """101 not finished, 103 cancelled, 102 not found."""
    assert skynb("exec", box, "-d", "sleep 60")[0] == 0
    assert skynb("logs", box, "--status")[0] == 101
    job = json.loads(skynb("cancel", box, "-o", "json")[1])[0]["id"]
    assert skynb("logs", box, str(job))[0] == 103
    assert skynb("logs", box, "999")[0] == 102
    assert skynb("logs", "nobody")[0] == 102


def test_tables_and_json_are_one_object(skynb, box):
    """--output json gives what the table shows."""
    for line in (["status"], ["queue"], ["cost"], ["check"], ["server", "status"], ["events", box]):
        table, data = skynb(*line)[1], json.loads(skynb(*line, "-o", "json")[1])
        assert table
        assert isinstance(data[0], dict)
    data = json.loads(skynb("exec", box, "-o", "json", "echo hi")[1])
    assert (data["cluster"], data["job"]["status"]) == (box, "SUCCEEDED")
    assert json.loads(skynb("launch", "--dryrun", "--infra", "local", "-o", "json", "true")[1])["plan"]


def test_why_answers_in_a_sentence(skynb, box):
    """The causes of a real life, in order; the small steps on demand; no such cluster in one line."""
    text = skynb("why", box)[1]
    assert text.startswith(f"{box} is UP; somebody launched it: 1 node")
    assert "every node's agent answered" in text
    brief, every = (json.loads(skynb("why", box, *more, "-o", "json")[1]) for more in ([], ["--all"]))
    assert {"node.create", "node.created", "node.up"} <= {line["event"] for line in every["lines"]}
    assert len(brief["lines"]) < len(every["lines"])
    assert "there is no cluster 'nobody'" in skynb("why", "nobody")[2]


def test_budgets_are_set_shown_and_taken_away(skynb):
    """A cap for everybody and one for a person; the table and JSON show both; --clear ends one."""
    assert "Nothing caps" in skynb("budget")[1] or "nothing caps" in skynb("budget")[1]
    assert "$100.00" in skynb("budget", "100")[1]
    assert "ann" in skynb("budget", "7.50", "--user", "ann")[1]
    shown = {item["account"]: item for item in json.loads(skynb("budget", "-o", "json")[1])}
    assert shown["user:ann"]["cap_micro"] == 7_500_000
    assert shown["all"]["free_micro"] == 100_000_000
    assert "ann" not in skynb("budget", "--clear", "--user", "ann")[1]
    assert "nothing caps" in skynb("budget", "--clear")[1]


def test_one_worker_and_a_tail(skynb, box):
    """--worker picks a rank that is there, --tail the last lines."""
    skynb("exec", box, "seq 5")
    assert skynb("logs", box, "--tail", "2")[1].split() == ["4", "5"]
    assert skynb("logs", box, "-w", "0", "--no-follow")[1].split() == list("12345")
    assert "ranks 0 to 0, not 3" in skynb("logs", box, "-w", "3")[2]


def test_autostop_stop_and_start(skynb, box):
    """The wish shows in the status; a stopped cluster is started with a wish of its own."""
    assert "5 min" in skynb("autostop", box)[1]
    shown = json.loads(skynb("autostop", box, "--cancel", "--output", "json")[1])
    assert [cluster["autostop"] for cluster in shown] == [None]
    assert "STOPPED" in skynb("stop", box)[1]
    code, _, err = skynb("exec", box, "true")
    assert (code, "skynb start box" in err) == (1, True)
    code, out, _ = skynb("start", box, "-i", "60", "--down")
    assert (code, "60 min, down" in out) == (0, True)
    assert "127." in skynb("status", box, "--ip")[1]


def test_what_the_server_refuses_is_told_in_a_line(skynb, box):
    """Fields nobody carries out, names that are none, tasks too large for the cluster."""
    before = skynb("queue", box)[1].count("\n")
    for line, says in (
        (
            ["launch", "-c", "spot", "--infra", "local", "--image-id", "docker:x", "true"],
            "resources.image_id: no part",
        ),
        (["launch", "-c", "-x-", "--infra", "local", "true"], "cluster_name: "),
        (["exec", box, "--num-nodes", "5", "true"], "num_nodes: cluster 'box' has 1 nodes"),
        (["exec", "nobody", "true"], "there is no cluster 'nobody'"),
        (["down", "nobody*"], "there is no cluster 'nobody*'"),
        (["ssh", box, "true"], "ssh does not lead to machines of local"),
        (["reap", "local:none", "--yes"], "there is no machine 'local:none'"),
        (["check", "mars"], "the server has no provider for 'mars'"),
        (["dask", "status", box], "no Dask runs on 'box'"),
    ):
        code, out, err = skynb(*line)
        assert (code, out) == (1, ""), line
        assert err.startswith("Error: ")
        assert err.count("\n") == 1
        assert says in err
    assert skynb("queue", box)[1].count("\n") == before


def test_interrupting_a_log_detaches(server, box):
    """SIGINT while following: how to go on is said, exit code 0, and the job still runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from skynb.cli import main; main()", "exec", box, "echo begun; sleep 60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=10)
    job = sdk.latest_job(box)
    assert process.returncode == 0
    assert f"Detached, the work goes on. To follow: skynb logs box {job.id}; cancel: skynb cancel box" in err
    assert job.status == "RUNNING"
    assert sdk.cancel(box) == [job.id]


def test_completion_knows_clusters(server, box):
    """Names of live clusters, with their state."""
    from skynb_magics.completion import complete

    items, fragment = complete("down bo")
    assert [(item.value, item.help) for item in items] == [("box", "UP")]
    assert fragment == "bo"


def test_server_commands(skynb, box):
    """Stopping leaves clusters alone; the next command starts it again."""
    assert "UP" in skynb("server", "status")[1]
    assert "Stopped." in skynb("server", "stop")[2]
    assert "No server runs" in skynb("server", "status")[1]
    assert skynb("server", "logs", "--tail", "1")[0] == 0
    began = time.monotonic()
    assert "box" in skynb("status")[1]
    assert time.monotonic() - began < 30


def test_somebody_at_a_terminal_sees_the_plan_and_is_asked(skynb, server, monkeypatch):
    """No launches nothing; yes launches the plan that was shown, under the name that was shown."""
    answers = ["n", "y"]
    monkeypatch.setattr(Terminal, "asks", lambda _: True)
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda _: answers.pop(0))
    line = ("launch", "-c", "asked", "--infra", "local", "echo hi")
    code, out, _ = skynb(*line)
    assert (code, "this-machine on local, $0.00/h" in out) == (1, True)
    assert "asked" not in server.names()
    code, out, _ = skynb(*line)
    assert (code, out.splitlines()[-1]) == (0, "hi")
    assert skynb("down", "asked", "-y")[0] == 0
    assert answers == []


def test_dask_up_scale_down(skynb, box):
    """Scaling keeps what the workers are like; no listing shows a key."""
    assert skynb("dask", "up", box, "--threads", "2")[0] == 0
    code, out, _ = skynb("dask", "scale", box, "2", "-o", "json")
    info = json.loads(out)[0]
    assert (code, info["wanted"], info["threads"], len(info["workers"])) == (0, 2, 2, 2)
    assert "BEGIN" not in out
    assert "ENDED" in skynb("dask", "down", box)[1]


def test_hours_from_past_runs(skynb, box):
    """A plan takes the median of what runs of that name took, and says how many there were."""
    for _ in range(2):
        assert skynb("exec", box, "-n", "short", "sleep 0.2")[0] == 0
    code, out, _ = skynb("plan", "-n", "short", "--infra", "local", "--measured", "-o", "json", "true")
    (task,) = json.loads(out)["tasks"]
    assert code == 0
    assert task["estimate"] == "median of 2 runs"
    assert 1 <= task["choice"]["seconds"] < 60


def test_reap_shows_that_nothing_is_forgotten(skynb, box):
    """The machines of live clusters are shown on request, with what they cost and who claims them."""
    assert skynb("reap")[1].startswith("No machine is forgotten.")
    code, out, _ = skynb("reap", "--all")
    assert code == 0
    assert re.search(rf"local:\S+ +{box} .*\$0\S* +claimed", out)
