"""Values between two kernels: a kind and bytes. Needs the value's own library, for frames also pyarrow."""

from __future__ import annotations

import io
import json
from typing import Any

_PLAIN = (type(None), bool, int, float, str)


def pack(value: Any, *, pickled: bool) -> tuple[str, bytes]:
    """Kind and bytes of a value; TypeError for one that travels only pickled, unless that is wanted."""
    kind = type(value)
    home = kind.__module__.partition(".")[0]
    if _is_plain(value):
        return "json", json.dumps(value).encode()
    if kind in {bytes, bytearray}:
        return "bytes", bytes(value)
    if home == "numpy" and hasattr(value, "dtype") and not value.dtype.hasobject:
        return ("npy" if kind.__name__ == "ndarray" else "scalar"), _npy(value)
    if home == "pyarrow" and kind.__name__ == "Table":
        return "table", _arrow(value)
    if home == "pandas" and kind.__name__ in {"DataFrame", "Series"}:
        import pyarrow as pa

        if kind.__name__ == "DataFrame":
            return "frame", _arrow(pa.Table.from_pandas(value))
        named = value.name is not None
        return ("column" if named else "nameless"), _arrow(pa.Table.from_pandas(value.to_frame()))
    if pickled:
        import cloudpickle

        return "pickle", cloudpickle.dumps(value)
    raise TypeError(f"{kind.__module__}.{kind.__qualname__} travels only pickled")


def unpack(kind: str, data: bytes, *, pickled: bool) -> Any:
    """The value; ValueError for a pickle that nobody wanted."""
    if kind == "json":
        return json.loads(data)
    if kind == "bytes":
        return data
    if kind in {"npy", "scalar"}:
        import numpy as np

        array = np.load(io.BytesIO(data), allow_pickle=False)
        return array if kind == "npy" else array[()]
    if kind in {"table", "frame", "column", "nameless"}:
        from pyarrow import ipc

        table = ipc.open_stream(data).read_all()
        if kind == "table":
            return table
        frame = table.to_pandas()
        if kind == "frame":
            return frame
        column = frame.iloc[:, 0]
        return column if kind == "column" else column.rename(None)
    if kind == "pickle" and pickled:
        import cloudpickle

        return cloudpickle.loads(data)
    raise ValueError(f"a value of kind {kind!r} is not taken")


def _is_plain(value: Any) -> bool:
    """Whether JSON gives back the very same value."""
    if type(value) is list:
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(type(key) is str and _is_plain(one) for key, one in value.items())
    return type(value) in _PLAIN


def _npy(value: Any) -> bytes:
    import numpy as np

    made = io.BytesIO()
    np.save(made, value, allow_pickle=False)
    return made.getvalue()


def _arrow(table: Any) -> bytes:
    from pyarrow import BufferOutputStream, ipc

    made = BufferOutputStream()
    with ipc.new_stream(made, table.schema) as stream:
        stream.write_table(table)
    return bytes(made.getvalue())
