"""AnnData, written element by element as its on-disk format says, into HDF5 or Zarr.

``X`` is float32 (n, 8), what was measured; ``obs`` has the cell's id and tile, ``var`` the units,
``obsm["spatial"]`` the centroids in level-0 px, ``uns["raysched"]`` the provenance as JSON. The
library ``anndata`` would hold the whole table before it wrote a byte; written in blocks, memory
does not grow with the cells. The encoding versions are those that anndata 0.8 and later read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from raysched.results.exports.cells import Cells
from raysched.results.schema import MEASURES, unit_of

CENTROID = ("centroid_x_px", "centroid_y_px")
INDEX, CELL, TILE = "_index", "cell_id", "tile"
FRAME = {"encoding-type": "dataframe", "encoding-version": "0.2.0"}
ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}
TEXTS = {"encoding-type": "string-array", "encoding-version": "0.2.0"}
TEXT = {"encoding-type": "string", "encoding-version": "0.2.0"}
DICT = {"encoding-type": "dict", "encoding-version": "0.1.0"}
CATEGORIES = {"encoding-type": "categorical", "encoding-version": "0.2.0", "ordered": False}
TABLE = {"encoding-type": "anndata", "encoding-version": "0.1.0"}


class Tree(Protocol):
    """A file that holds groups, arrays and texts, each with attributes, by path."""

    def group(self, path: str, attributes: Mapping[str, Any]) -> None:
        """Make a group; "" is the file itself."""

    def numbers(self, path: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """Make an array of numbers, which is filled by slices."""

    def texts(self, path: str, count: int) -> Any:
        """Make an array of texts, which is filled by slices."""

    def text(self, path: str, value: str) -> None:
        """Make a single text."""


class AnnotatedTable:
    """The table of all cells in a tree, filled block by block in id order.

    ``region``: the name of what the cells are in a SpatialData object, as a column of ``obs``.
    """

    def __init__(self, cells: Cells, tree: Tree, region: str | None = None) -> None:
        self._tree = tree
        self._done = 0
        self._count = len(cells)
        tree.group("", TABLE)
        for name in ("layers", "obsm", "obsp", "uns", "varm", "varp"):
            tree.group(name, DICT)
        tree.text("uns/raysched", json.dumps(cells.provenance()))
        self._x = tree.numbers("X", (self._count, len(MEASURES)), np.float32)
        self._centroids = tree.numbers("obsm/spatial", (self._count, 2), np.float64)
        self._make_var()
        columns = [CELL, TILE, *([] if region is None else ["region"])]
        tree.group("obs", {**FRAME, INDEX: INDEX, "column-order": columns})
        self._names = tree.texts(f"obs/{INDEX}", self._count)
        self._cell = tree.numbers(f"obs/{CELL}", (self._count,), np.int64)
        self._tile = tree.numbers(f"obs/{TILE}", (self._count,), np.int32)
        if region is not None:
            self._make_region(region)

    def add(self, block: Any) -> None:
        """Write the next cells: a ``pyarrow.Table`` of ``schema.CELLS``."""
        columns = {name: block.column(name).to_numpy() for name in (*MEASURES, *CENTROID, TILE)}
        ids = block.column("id").to_numpy()
        place = slice(self._done, self._done + len(ids))
        self._x[place] = np.stack([columns[name].astype(np.float32) for name in MEASURES], axis=1)
        self._centroids[place] = np.stack([columns[name] for name in CENTROID], axis=1)
        self._names[place] = np.array([str(cell) for cell in ids.tolist()], object)
        self._cell[place] = ids
        self._tile[place] = columns[TILE]
        self._done += len(ids)

    def _make_var(self) -> None:
        self._tree.group("var", {**FRAME, INDEX: INDEX, "column-order": ["unit"]})
        units = [unit_of(name) for name in MEASURES]
        self._tree.texts(f"var/{INDEX}", len(MEASURES))[:] = np.array(MEASURES, object)
        self._tree.texts("var/unit", len(MEASURES))[:] = np.array(units, object)

    def _make_region(self, region: str) -> None:
        self._tree.group("obs/region", CATEGORIES)
        self._tree.texts("obs/region/categories", 1)[:] = np.array([region], object)
        self._tree.numbers("obs/region/codes", (self._count,), np.int8)  # all are the first
        self._tree.group("uns/spatialdata_attrs", DICT)
        for key, value in (("region", region), ("region_key", "region"), ("instance_key", CELL)):
            self._tree.text(f"uns/spatialdata_attrs/{key}", value)
