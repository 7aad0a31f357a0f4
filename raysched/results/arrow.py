"""Arrow arrays of what NumPy holds, for processes that have just been started.

``pa.array`` loads pandas before its first array where that is installed: half a second and 60 MB of
every process, and a cancel is not heeded meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def arrow_array(values: npt.ArrayLike, kind: Any) -> Any:
    """(n,) numbers or truth values as a ``pyarrow.Array`` of an Arrow type, none of them null.

    Raises ``ValueError`` where the type cannot hold them.
    """
    given = np.asarray(values)
    array = np.ascontiguousarray(given, kind.to_pandas_dtype())
    if given.ndim != 1 or (array.dtype.kind in "iub" and (array != given).any()):
        raise ValueError(f"These {given.dtype} {given.shape} are no column of {kind}.")
    bits = np.packbits(array, bitorder="little") if pa.types.is_boolean(kind) else array
    return pa.Array.from_buffers(kind, len(array), [None, pa.py_buffer(bits)])


def arrow_bytes(values: Sequence[bytes]) -> Any:
    """Strings of bytes as a ``pyarrow.BinaryArray``. Raises ``ValueError`` above 2 GB in all."""
    ends = np.cumsum([0, *map(len, values)])
    if ends[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"{ends[-1]:,} bytes are more than one column can hold.")
    buffers = [None, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)


def no_rows(schema: Any) -> Any:
    """A ``pyarrow.Table`` without rows."""
    return pa.Table.from_batches([], schema)
