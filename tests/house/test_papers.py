"""The house papers: every room says what it is for, and nothing names where it was built."""

from __future__ import annotations

import re

import pytest

from tests.house.conftest import ROOT

README_LINES = 40
DECISION_LINES = 50
REGISTRY = re.compile(rb"https?://[^ ]*(simple|registry|artifactory|nexus|mirror)", re.IGNORECASE)
LOCKS = {"package-lock.json", "yarn.lock", "pnpm-lock.yaml", "uv.lock", "poetry.lock", "pip.conf", ".npmrc"}
OWN = "tests/house/test_papers.py"  # the pattern itself
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def test_every_folder_says_what_it_is_for(tracked):
    """Each top-level folder has a README.md of fewer than 40 lines."""
    relative = [path.relative_to(ROOT) for path in tracked]
    folders = {
        path.parts[0] for path in relative if len(path.parts) > 1 and not path.parts[0].startswith(".")
    }
    missing = [folder for folder in sorted(folders - {"changelog.d"}) if not readme_lines(folder)]
    assert missing == []
    assert [folder for folder in folders if readme_lines(folder) >= README_LINES] == []


def test_decisions_fit_a_page(tracked):
    """Numbered without a gap, each with the three headings, each shorter than 50 lines."""
    papers = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert [int(paper.name[:4]) for paper in papers] == list(range(1, len(papers) + 1))
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
