"""`skynb plan` with its goals, reasons and differences; no server takes part."""

import json

import pytest

from skynb.cli.terminal import run


@pytest.fixture
def skynb(tmp_path, monkeypatch, capsys):
    """Run a line in an empty home: its exit code, standard output and standard error."""
    monkeypatch.setenv("SKYNB_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = run(words)
        return (code, *capsys.readouterr())

    return call


CHAIN = """
name: line
---
name: train
resources: {accelerators: V100, infra: aws}
outputs: {"s3://x": 100}
---
name: eval
resources: {accelerators: T4, infra: aws}
"""


def test_hours_and_a_deadline(skynb):
    """By accelerator, in any spelling; too little time is an error that says how long it takes."""
    words = ("plan", "--gpus", "V100", "--infra", "aws", "--hours", "v100=2.5", "true")
    code, out, _ = skynb(*words)
    assert code == 0
    assert "2.5 h" in out
    assert "estimated by the user" in out
    code, _, err = skynb(*words, "--deadline", "2")
    assert code != 0
    assert "2.5 h on V100, later than the deadline" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--hours", "x"), "not a number of hours"),
        (("--hours", "H1000:8=1"), "H1000"),
        (("--hours", "-1"), "hours"),
        (("--deadline", "0"), "deadline"),
        (("--minimize", "speed"), "speed"),
        (("--diff", "nowhere.json"), "nowhere.json"),
        (("--diff", "x", "--why"), "two answers"),
        (("--measured",), "a task without a name has no past runs"),
    ],
)
def test_words_that_are_wrong(skynb, words, said):
    """One line that names the word."""
    code, out, err = skynb("plan", "--gpus", "V100", *words, "true")
    assert code != 0
    assert not out
    assert said in err
    assert "Traceback" not in err


def test_a_chain_is_planned_whole(skynb, tmp_path):
    """Both tasks, what moves between them, and the sum; JSON is the same object."""
    (tmp_path / "line.yaml").write_text(CHAIN)
    code, out, _ = skynb("plan", "line.yaml")
    assert code == 0
    for part in ("train: p3.2xlarge on aws/", "eval: g4dn.xlarge on aws/", "100 GB into eval", "In all $"):
        assert part in out
    page = json.loads(skynb("plan", "line.yaml", "-o", "json")[1])
    assert [task["task"] for task in page["tasks"]] == ["train", "eval"]
    assert page["edges"] == [[0, 1]]
    assert len(page["hash"]) == 64


def test_what_differs_from_a_kept_plan(skynb, tmp_path):
    """Nothing, until something does."""
    kept = skynb("plan", "--gpus", "V100", "--infra", "aws", "-o", "json", "true")[1]
    (tmp_path / "before.json").write_text(kept)
    again = skynb("plan", "--gpus", "V100", "--infra", "aws", "--diff", "before.json", "true")
    assert again[:2] == (0, "Nothing differs.\n")
    code, out, _ = skynb("plan", "--gpus", "V100:4", "--infra", "aws", "--diff", "before.json", "true")
    assert code == 0
    assert "p3.8xlarge" in out
    page = json.loads(
        skynb("plan", "--gpus", "V100:4", "--infra", "aws", "--diff", "before.json", "-o", "json")[1]
    )
    assert "choice" in {change["what"] for change in page["changes"]}


def test_why_not(skynb):
    """Every kind of offer has its reason."""
    code, out, _ = skynb("plan", "--gpus", "A100:8", "--infra", "aws", "--why", "true")
    assert code == 0
    for reason in ("not A100", "not 8 of A100", "cloud not asked for", "set aside"):
        assert reason in out
    page = json.loads(skynb("plan", "--gpus", "A100:8", "--infra", "aws", "--why", "-o", "json", "true")[1])
    assert page["plan"]["hash"]
    assert sum(reason["offers"] for reason in page["reasons"]) > 100_000


def test_own_prices_show(skynb, tmp_path):
    """A discount in offers.yaml; a mistake in it is one clear error."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "offers.yaml").write_text("discounts: [{name: deal, infra: aws, percent: 50}]")
    out = skynb("plan", "--gpus", "V100:4", "--infra", "aws/us-east-1", "true")[1]
    assert "50 % off: deal" in out
    assert "$6.12/h" in out
    (home / "offers.yaml").write_text("discounts: [{name: deal, percentage: 50}]")
    code, _, err = skynb("plan", "--gpus", "V100:4", "true")
    assert code != 0
    assert "offers.yaml" in err
    assert "percentage" in err
