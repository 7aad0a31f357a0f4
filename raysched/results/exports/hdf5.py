"""AnnData as an ``.h5ad`` file. The only module that knows h5py, which is optional."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from raysched.results.cells import GROUP_CELLS
from raysched.results.exports.annotated import ARRAY, TEXT, TEXTS, AnnotatedTable
from raysched.results.exports.cells import Cells


def write_h5ad(cells: Cells, to: Path) -> None:
    """An ``.h5ad`` file of all cells. Memory: a few blocks."""
    with h5py.File(to, "w") as file:
        table = AnnotatedTable(cells, _Hdf5(file))
        for block in cells.blocks():
            table.add(block)


class _Hdf5:
    """An HDF5 file as a ``Tree``: chunks of a block's rows, gzip, which every reader knows."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def group(self, path: str, attributes: Mapping[str, Any]) -> None:
        group = self._file.create_group(path) if path else self._file
        for name, value in attributes.items():
            kind = h5py.string_dtype() if isinstance(value, list) else None
            group.attrs.create(name, value, dtype=kind)

    def numbers(self, path: str, shape: tuple[int, ...], dtype: Any) -> Any:
        return self._array(path, shape, dtype, ARRAY)

    def texts(self, path: str, count: int) -> Any:
        return self._array(path, (count,), h5py.string_dtype(), TEXTS)

    def text(self, path: str, value: str) -> None:
        made = self._file.create_dataset(path, data=value, dtype=h5py.string_dtype())
        made.attrs.update(TEXT)

    def _array(
        self, path: str, shape: tuple[int, ...], dtype: Any, attributes: Mapping[str, str]
    ) -> Any:
        packed: dict[str, Any] = {}
        if shape[0]:
            chunks = (min(shape[0], GROUP_CELLS), *shape[1:])
            packed = {"chunks": chunks, "compression": "gzip", "compression_opts": 1}
        made = self._file.create_dataset(path, shape, dtype, shuffle=bool(packed), **packed)
        made.attrs.update(attributes)
        return made
