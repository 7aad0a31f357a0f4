"""Arrow arrays made without ``pa.array`` are the same, and a chunk's process loads no pandas."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raysched.results.arrow import arrow_array, arrow_bytes, no_rows

KINDS = ("bool", "int8", "int32", "int64", "uint32", "float32", "float64")

SEGMENT = """
import sys
from pathlib import Path
from raysched.imaging.request import SegmentationRequest
from raysched.results import stages
from raysched.results.shelf import Shelf

slide, out = sys.argv[1:]
request = SegmentationRequest(slide=slide, out=out, mpp=0.5)
shelf = Shelf(Path(out).with_name("shelf"), 10**9)
stages.plan_slide(request, "j", lambda: False, shelf=shelf)
receipt = stages.segment_chunk(request, "j", 0, lambda: False, shelf=shelf)
assert receipt.cells > 0
print(*(name for name in ("pandas",) if name in sys.modules))
"""


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_an_array_is_the_one_that_arrow_makes(kind: str, data: st.DataObject) -> None:
    values = data.draw(hnp.arrays(kind, st.integers(0, 40)))
    other = values[::-1]  # not contiguous
    for each in (values, other):
        expected = pa.array(each)
        assert arrow_array(each, expected.type).equals(expected) or np.isnan(each).any()
        assert arrow_array(each, expected.type).to_numpy(zero_copy_only=False).tobytes() == (
            each.tobytes()
        )


@pytest.mark.parametrize(
    ("values", "kind"),
    [([2**40], pa.int32()), ([1.5], pa.int32()), ([2], pa.bool_()), ([[1, 2]], pa.int32())],
)
def test_what_does_not_fit_is_refused(values: list[object], kind: object) -> None:
    with pytest.raises(ValueError, match="are no column of"):
        arrow_array(np.array(values), kind)


def test_nothing_is_a_column_of_anything() -> None:
    assert arrow_array([], pa.int32()).equals(pa.array([], pa.int32()))


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_bytes_are_the_ones_that_arrow_makes(values: list[bytes]) -> None:
    assert arrow_bytes(values).equals(pa.array(values, pa.binary()))


def test_a_table_without_rows_has_its_columns() -> None:
    schema = pa.schema([("a", pa.int32()), ("b", pa.list_(pa.float64()))])
    assert no_rows(schema).equals(schema.empty_table())


def test_a_process_that_segments_a_chunk_loads_no_pandas(crop: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SEGMENT, str(crop), str(tmp_path / "out")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == ""
