"""The label image of a finished job as OME-Zarr: 0.5 as it is, as one zip file, and as 0.4.

Pixels are copied, file by file or shard by shard; the root's attribute ``raysched`` gains the
provenance. The zip follows NGFF's RFC-9: the root of the archive is that of the image, entries are
stored, ``zarr.json`` come first, the shallowest before, and the comment says so; its files end in
``.ozx``. 0.4 is for readers that know no Zarr v3: no shards, so a file for each 512 x 512 px that
hold a cell.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import zarr
from numcodecs import Blosc

from raysched.errors import StorageFailed
from raysched.results.damage import AGAIN
from raysched.results.exports.archives import TreeZip
from raysched.results.exports.cells import Cells
from raysched.results.labels import CHUNK_PX, SHARD_PX

LABELS = "labels.zarr"
ROOT = "zarr.json"
OZX = {"ome": {"version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": True}}}}


def write_ome_zarr(cells: Cells, to: Path) -> None:
    """A folder: OME-Zarr 0.5, image-label."""
    for path, name in label_files(cells):
        target = to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name == ROOT:
            target.write_bytes(_root(cells))
        else:
            shutil.copyfile(path, target)


def write_ome_zarr_zip(cells: Cells, to: BinaryIO) -> None:
    """The same as one zip file."""
    with TreeZip(to, OZX) as archive:
        for path, name in label_files(cells):
            if name == ROOT:
                archive.add(name, _root(cells))
            else:
                archive.copy(path, name)


def write_ome_zarr_04(cells: Cells, to: Path) -> None:
    """A folder: OME-Zarr 0.4, image-label, Zarr v2. Memory: one shard."""
    source: Any = zarr.open_group(str(cells.folder / LABELS), mode="r")
    attributes = source.attrs.asdict()
    ome = attributes["ome"]
    (multiscale,) = ome["multiscales"]
    noted = {
        "multiscales": [{**multiscale, "version": "0.4"}],
        "image-label": {**ome["image-label"], "version": "0.4"},
        "raysched": _noted(cells, attributes),
    }
    target = zarr.create_group(str(to), zarr_format=2, attributes=noted)
    for dataset in multiscale["datasets"]:
        finer = source[dataset["path"]]
        copy = target.create_array(
            dataset["path"],
            shape=finer.shape,
            dtype=finer.dtype,
            chunks=(CHUNK_PX, CHUNK_PX),
            compressors=Blosc("lz4"),  # the codec that readers of Zarr v2 have in common
            fill_value=0,
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        for y in range(0, finer.shape[0], SHARD_PX):
            for x in range(0, finer.shape[1], SHARD_PX):
                place = slice(y, y + SHARD_PX), slice(x, x + SHARD_PX)
                copy[place] = finer[place]


def label_files(cells: Cells) -> Iterator[tuple[Path, str]]:
    """The files of the label image with their names in it, metadata first and shallow ones before.

    Raises ``StorageFailed`` when they are not as many bytes as the manifest says.
    """
    folder = cells.folder / LABELS
    found = [path for path in folder.rglob("*") if path.is_file()]
    names = {path: path.relative_to(folder).as_posix() for path in found}
    note = cells.file_note(LABELS)
    there = len(found), sum(path.stat().st_size for path in found)
    if there != (note["files"], note["size_bytes"]):
        raise StorageFailed(
            f"The label image in {folder} is not what was published: {there[0]} files of "
            f"{there[1]} bytes instead of {note['files']} of {note['size_bytes']}.",
            remedy=AGAIN,
            path=str(folder),
        )
    order = sorted(found, key=lambda path: (path.name != ROOT, names[path].count("/"), names[path]))
    return ((path, names[path]) for path in order)


def _root(cells: Cells) -> bytes:
    node = json.loads((cells.folder / LABELS / ROOT).read_bytes())
    node["attributes"]["raysched"] = _noted(cells, node["attributes"])
    return json.dumps(node, indent=1).encode()


def _noted(cells: Cells, attributes: Any) -> dict[str, Any]:
    return {**attributes.get("raysched", {}), **cells.provenance()}
