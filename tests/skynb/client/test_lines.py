"""Lines out of pieces."""

from hypothesis import given
from hypothesis import strategies as st

from skynb.client.logs import Lines
from skynb.notebooks.node.journal import MARK
from skynb.wire import JOURNAL_MARK, LogLine


def test_a_line_cut_in_two_arrives_whole():
    """Each rank has its own open line."""
    lines = Lines(2)
    assert lines.feed(LogLine(rank=0, text="a")) == []
    assert lines.feed(LogLine(rank=1, text="x\ny")) == ["(rank 1) x"]
    assert lines.feed(LogLine(rank=0, text="b\r\nc\n")) == ["(rank 0) ab", "(rank 0) c"]
    assert lines.partial() == ["(rank 1) y"]


def test_one_node_needs_no_name():
    """A rank is named only among several."""
    assert Lines(1).feed(LogLine(rank=0, text="a\n\nb\n")) == ["a", "", "b"]


def test_the_journal_is_not_shown():
    """Lines that begin with the mark are for programs, also when they come in pieces or have no end yet."""
    lines = Lines(1)
    shown = [
        line
        for text in ("a\n", "\x1e{", '"n":1}', "\nb\n\x1e{")
        for line in lines.feed(LogLine(rank=0, text=text))
    ]
    assert (shown, lines.partial()) == (["a", "b"], [])
    assert JOURNAL_MARK == MARK


@given(st.lists(st.tuples(st.integers(0, 2), st.text("ab\n", max_size=8)), max_size=30))
def test_no_character_is_lost(pieces):
    """However the text is cut, the lines of a rank are those of its whole text."""
    lines = Lines(3)
    out = [line for rank, text in pieces for line in lines.feed(LogLine(rank=rank, text=text))]
    out += lines.partial()
    for rank in range(3):
        whole = "".join(text for source, text in pieces if source == rank)
        mine = [line.removeprefix(f"(rank {rank}) ") for line in out if line.startswith(f"(rank {rank}) ")]
        assert mine == (whole.split("\n") if whole.rpartition("\n")[2] else whole.split("\n")[:-1])
