"""Which cells an attempt runs: an oracle that runs cells for real, killed anywhere, any number of times."""

from __future__ import annotations

import io
from contextlib import redirect_stdout

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.notebooks.node.resume import Cell, print_of, steps

NAMES = st.sampled_from("abcd")
LISTS = st.sampled_from("lmno")
CELLS = st.one_of(
    st.builds("{0} = {1}".format, NAMES, st.integers(0, 9)),
    st.builds("{0} = {1} + {2}".format, NAMES, NAMES, NAMES),
    st.builds("{0} += 1\n{0}".format, NAMES),
    st.builds("{0} = [{1}]".format, LISTS, NAMES),
    st.builds("{0} = {1}".format, LISTS, LISTS),
    st.builds("{0}.append({1})".format, LISTS, NAMES),
    st.builds("{0}[0] = {1}".format, LISTS, NAMES),
    st.builds("for one in [{0}, {1}]:\n    one.append(7)".format, LISTS, LISTS),
    st.builds("{0} = {{'k': {1}}}\n{0}['k'].append(1)".format, LISTS, LISTS),
    st.builds("def f():\n    {0}.append({1})\n    return len({0})".format, LISTS, NAMES),
    st.builds("def g(x):\n    x.append(1)\n    global {0}\n    {0} = f()".format, NAMES),
    st.just("print(f())"),
    st.builds("g({0})".format, LISTS),
    st.builds("print({0}, len({1}))".format, NAMES, LISTS),
    st.builds("class K:\n    seen = {0}\nK.seen.append(5)".format, LISTS),
    st.just("print(K.seen)"),
    st.just("import random"),
    st.builds("random.seed({0})".format, NAMES),
    st.builds("{0} = random.randint(0, 99)\nprint({0})".format, NAMES),
    st.builds("with open('/dev/null') as h:\n    {0} = h.read()".format, NAMES),
    st.just("%matplotlib inline"),
)
FIRST = [
    *(f"{name} = 1" for name in "abcd"),
    *(f"{name} = [{at}]" for at, name in enumerate("lmno")),
    "def f():\n    return 0",
    "def g(x):\n    pass",
    "class K:\n    seen = []",
    "import random",
    "random.seed(1)",
]
PROGRAMS = st.lists(CELLS, min_size=1, max_size=10).map(lambda cells: [*FIRST, *cells])


def shown(source: str, space: dict) -> str:
    """What a cell gives; an error is something that it gives, too."""
    out = io.StringIO()
    with redirect_stdout(out):
        try:
            if not source.startswith("%"):
                exec(compile(source, "cell", "exec"), space)
        except Exception as error:  # noqa: BLE001 - random programs do what they like
            print(type(error).__name__, error)
    return out.getvalue()


def lived(sources: list[str], deaths: list[int]) -> list[str]:
    """What the cells gave when each attempt but the last died at so-manieth of the cells that it ran."""
    cells = [Cell(at, source) for at, source in enumerate(sources)]
    given_: dict[int, str] = {}
    for left in (*deaths, len(sources) + 1):
        space: dict = {"__name__": "__main__"}
        for step in steps(cells, {at: print_of(sources[at]) for at in given_}):
            if step.action == "keep":
                continue
            if not left:
                break
            left -= 1  # noqa: PLW2901 - it counts down
            text = shown(sources[step.at], space)
            if step.action == "run":
                given_[step.at] = text
    return [given_[at] for at in range(len(sources))]


@given(PROGRAMS, st.lists(st.integers(0, 25), max_size=4))
def test_a_resumed_notebook_gives_what_an_undisturbed_one_does(sources, deaths):
    """Whatever the cells do to each other's names and things, and wherever the attempts died."""
    assert lived(sources, deaths) == lived(sources, [])


def plan(sources: list[str | tuple[str, str]], finished: int) -> list[str]:
    """The actions when so many cells are finished."""
    pairs = [(one, ()) if isinstance(one, str) else (one[0], (one[1],)) for one in sources]
    cells = [Cell(at, *pair) for at, pair in enumerate(pairs)]
    done = {cell.at: print_of(cell.source) for cell in cells[:finished]}
    return [step.action for step in steps(cells, done)]


def test_what_no_later_cell_needs_is_kept():
    """The long training is not done again for a cell that only reads its saved file."""
    cells = [
        "import json, pathlib",
        "model = train(data)\nmodel.save('m')",
        "score = 3",
        "print(json.loads(pathlib.Path('m').read_text()), score)",
    ]
    assert plan(cells, 3) == ["again", "keep", "again", "run"]
    assert plan(cells, 4) == ["keep"] * 4
    assert plan(cells, 0) == ["run"] * 4


def test_tags_say_what_the_text_does_not():
    """`skynb-setup` runs always, `skynb-once` never again; a magic line may do anything."""
    cells = [("connect()", "skynb-setup"), ("model = train()", "skynb-once"), "%cd /data", "x = 1", "model"]
    assert plan(cells, 4) == ["again", "keep", "again", "keep", "run"]


def test_a_changed_cell_and_all_behind_it_run():
    """What was finished under another text is not finished."""
    cells = [Cell(0, "a = 1"), Cell(2, "b = 2"), Cell(3, "print(b)")]
    done = {0: print_of("a = 1"), 2: print_of("b = 1"), 3: print_of("print(b)")}
    found = steps(cells, done)
    assert [(step.at, step.action) for step in found] == [(0, "keep"), (2, "run"), (3, "run")]
    assert "changed" in found[1].why
    assert "before it" in found[2].why


@pytest.mark.parametrize(
    ("made", "used"),
    [
        ("import numpy as np\nnp.random.seed(0)", "np.random.rand()"),
        ("os.environ['A'] = '1'", "os.getenv('A')"),
        ("from m import *", "anything"),
        ("x: int = 1", "x"),
        ("(y := 2)", "y"),
        ("try:\n    pass\nexcept E as z:\n    w = 1", "w"),
        ("del x", "x"),
        ("async def f(): pass", "f"),
        ("exec('q = 1')", "q"),
    ],
)
def test_what_makes_a_name(made, used):
    """Each way in which a cell can make, or change, what another one uses."""
    assert plan([made, used], 1) == ["again", "run"]
