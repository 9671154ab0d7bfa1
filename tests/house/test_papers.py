"""The house papers: every room says what it is for, and nothing names where it was built."""

from __future__ import annotations

import re

import pytest

from skynb_clusters.deciders import cluster, node
from skynb_clusters.records import JOB_FINAL, NODE_FINAL
from skynb_jupyter.routes import ROUTES
from tests.support.house import ROOT

README_LINES = 40
DECISION_LINES = 50
REGISTRY = re.compile(rb"https?://[^ ]*(simple|registry|artifactory|nexus|mirror)", re.IGNORECASE)
LOCKS = {"package-lock.json", "yarn.lock", "pnpm-lock.yaml", "uv.lock", "poetry.lock", "pip.conf", ".npmrc"}
OWN = "tests/house/test_papers.py"  # the pattern itself
READ = re.compile(r"environ(?:\.get\(|\[)\"(SKYNB_[A-Z_]+)\"")
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def test_every_folder_says_what_it_is_for(tracked):
    """Each top-level folder has a README.md of fewer than 40 lines."""
    relative = [path.relative_to(ROOT) for path in tracked]
    folders = {
        path.parts[0] for path in relative if len(path.parts) > 1 and not path.parts[0].startswith(".")
    }
    missing = [folder for folder in sorted(folders) if not readme_lines(folder)]
    assert missing == []
    assert [folder for folder in folders if readme_lines(folder) >= README_LINES] == []


def test_decisions_fit_a_page(tracked):
    """Numbered without a gap, each with the three headings, each shorter than 50 lines."""
    papers = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert [int(paper.name[:4]) for paper in papers] == list(range(1, len(papers) + 1))
    assert papers
    for paper in papers:
        text = paper.read_text()
        assert len(text.splitlines()) < DECISION_LINES, paper
        for heading in ("## Context", "## Decision", "## Consequences"):
            assert heading in text, (paper, heading)


def test_links_between_papers_lead_somewhere(tracked):
    """Every relative link in a Markdown file is a file of the house."""
    dead = [
        f"{path.relative_to(ROOT)}: {target}"
        for path in tracked
        if path.suffix == ".md"
        for target in LINK.findall(path.read_text())
        if not (path.parent / target).exists()
    ]
    assert dead == []


def test_the_reference_names_every_route():
    """Verb, path and summary of each route stand in the REST reference."""
    paper = (ROOT / "docs/reference/rest.md").read_text()
    lines = [f"| {route.method} | `{route.path}` | {route.summary} |" for route in ROUTES]
    assert [line for line in lines if line not in paper] == []


@pytest.mark.parametrize("machine", [cluster, node])
def test_the_reference_names_every_state(machine):
    """Each state of a decider's table has its line."""
    paper = (ROOT / "docs/reference/states.md").read_text()
    states = {*machine._STEPS, *JOB_FINAL, *NODE_FINAL}
    assert [state for state in states if f"| `{state}` |" not in paper] == []


def test_the_reference_names_every_variable(sources):
    """Each SKYNB_ variable that the product reads by name is in the table."""
    paper = (ROOT / "docs/reference/environment.md").read_text()
    read = {name for path in sources for name in READ.findall(path.read_text())}
    assert len(read) >= 3
    assert [name for name in read if f"`{name}`" not in paper] == []


def test_no_file_names_a_registry(tracked):
    """Where packages come from is the business of whoever installs: no address, no lock file with some."""
    found = [
        str(path.relative_to(ROOT))
        for path in tracked
        if str(path.relative_to(ROOT)) != OWN
        and b"\0" not in (data := path.read_bytes())
        and REGISTRY.search(data)
    ]
    assert found == []
    assert [path for path in tracked if path.name in LOCKS and b"http" in path.read_bytes()] == []


@pytest.mark.parametrize("line", ["https://pypi.example/simple/x", "http://a.b/artifactory/api"])
def test_the_pattern_itself_sees(line):
    """It finds what it is there for."""
    assert REGISTRY.search(line.encode())


def readme_lines(folder: str) -> int:
    paper = ROOT / folder / "README.md"
    return len(paper.read_text().splitlines()) if paper.exists() else 0
