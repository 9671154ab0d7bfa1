"""Values between kernels: the same value comes out, and nothing that is code goes unasked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skynb.kernels.node.values import pack, unpack

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)
FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", None], "when": pd.to_datetime(["2026-01-01", "2026-02-02"])})


@given(PLAIN | st.binary())
def test_plain_values_come_back_as_they_were(value):
    """JSON's types and bytes, to the type."""
    kind, data = pack(value, pickled=False)
    assert kind in {"json", "bytes"}
    back = unpack(kind, data, pickled=False)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    "array",
    [np.arange(12.0).reshape(3, 4), np.array(3), np.array(["a", "bc"]), np.zeros(2, dtype=[("x", "i4")])],
)
def test_arrays(array):
    """Shape and type stay, structures included."""
    kind, data = pack(array, pickled=False)
    back = unpack(kind, data, pickled=False)
    assert (kind, back.dtype, back.shape) == ("npy", array.dtype, array.shape)
    assert (back == array).all()


def test_a_scalar_of_numpy_stays_one():
    """Not an array of no dimension."""
    back = unpack(*pack(np.float32(1.5), pickled=False), pickled=False)
    assert (type(back), back) == (np.float32, 1.5)


@pytest.mark.parametrize("frame", [FRAME, FRAME.set_index("b"), FRAME.iloc[:0]])
def test_frames(frame):
    """Index, types, gaps and emptiness stay."""
    pd.testing.assert_frame_equal(unpack(*pack(frame, pickled=False), pickled=False), frame)


@pytest.mark.parametrize("column", [FRAME["a"], FRAME["a"].rename(None)])
def test_columns(column):
    """A name, or none."""
    pd.testing.assert_series_equal(unpack(*pack(column, pickled=False), pickled=False), column)


def test_tables():
    """Arrow's own."""
    table = pa.table({"a": [1, None]})
    assert unpack(*pack(table, pickled=False), pickled=False).equals(table)


class Thing:
    """What has no form of its own."""


@pytest.mark.parametrize(
    "value", [Thing(), (1, 2), {1: 2}, {"a": Thing()}, np.array([Thing()]), [True, (1,)], print]
)
def test_what_is_code_does_not_go_unasked(value):
    """Nor what JSON would change."""
    with pytest.raises(TypeError, match="only pickled"):
        pack(value, pickled=False)


def test_pickles_go_where_both_sides_want_them():
    """And are refused by a side that does not, before they are read."""
    kind, data = pack({1: (2, 3)}, pickled=True)
    assert unpack(kind, data, pickled=True) == {1: (2, 3)}
    with pytest.raises(ValueError, match="'pickle' is not taken"):
        unpack(kind, data, pickled=False)
