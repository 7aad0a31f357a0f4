"""What a user's shelf can answer, and how it is written there: files' digests, tissue, labels."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from raysched.imaging.engine import Labels
from raysched.imaging.planning import Sight, content_hash
from raysched.imaging.request import TissueParams
from raysched.imaging.slide import Slide, file_state, is_one_file
from raysched.imaging.tissue import TISSUE_VERSION, Survey
from raysched.results.arrow import arrow_array, arrow_bytes
from raysched.results.shelf import NO_SHELF, Shelf
from raysched.results.staging import mask_of, mask_parts

FILES, TISSUE, LABELS, RESULTS = "files", "tissue", "labels", "results"
CODEC = pa.Codec("zstd", compression_level=1)
UNSIGNED = {16: np.uint16, 32: np.uint32}
TILES = pa.schema(
    [
        ("tile", pa.int32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("bits", pa.int8()),
        ("data", pa.binary()),
    ]
)


def shelf_for(vendor: str, path: Path, shelf: Shelf) -> Shelf:
    """The shelf, if it may be used for a slide: its digest must be of all of the slide."""
    return shelf if is_one_file(vendor, path) else NO_SHELF


class Recalled(Sight):
    """Knows what earlier jobs of the user have seen of the same slide."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self.tissue_was_known = False

    def sha256(self, slide: Slide) -> str:
        """The digest of a file is known again as long as the system says that it is untouched."""
        key = file_key(slide)
        if known := self._shelf.take(FILES, key):
            return known.decode()
        digest = super().sha256(slide)
        self._shelf.put(FILES, key, digest.encode())
        return digest

    def survey(self, slide: Slide, mpp: float, params: TissueParams) -> Survey:
        """See ``Sight``. Of two jobs that ask at once, one waits for what the other finds."""
        key = tissue_key(self.sha256(slide), mpp, params)
        with self._shelf.one_at_a_time(TISSUE, key):
            if known := self._shelf.take(TISSUE, key):
                self.tissue_was_known = True
                return unpack_survey(known)
            found = super().survey(slide, mpp, params)
            if self._shelf.is_there:
                self._shelf.put(TISSUE, key, pack_survey(found))
        return found


class Noticed(Sight):
    """Uses what earlier jobs of the user have seen, and leaves nothing behind. A file that no job
    has read whole has no digest here ("")."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def sha256(self, slide: Slide) -> str:
        """The digest, if it is known; a large file would take minutes to read."""
        known = self._shelf.take(FILES, file_key(slide))
        return known.decode() if known else ""

    def survey(self, slide: Slide, mpp: float, params: TissueParams) -> Survey:
        """See ``Sight``."""
        digest = self.sha256(slide)
        known = self._shelf.take(TISSUE, tissue_key(digest, mpp, params)) if digest else None
        return unpack_survey(known) if known else super().survey(slide, mpp, params)


def file_key(slide: Slide) -> str:
    """Names a file as long as the system says that it is untouched."""
    return content_hash([str(slide.path.resolve()), file_state(slide.path)])


def tissue_key(slide_sha256: str, mpp: float, params: TissueParams) -> str:
    """Names a tissue mask by what it follows from."""
    return content_hash([slide_sha256, mpp, params.model_dump(mode="json"), TISSUE_VERSION])


def pack_survey(seen: Survey) -> bytes:
    """A survey as bytes; the picture is a PNG."""
    good, picture = cv2.imencode(".png", seen.rgb, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert good, "any uint8 picture is a PNG"
    buffer = io.BytesIO()
    np.savez(buffer, **mask_parts(seen.mask), l0_per_px=seen.l0_per_px, picture=picture)
    return buffer.getvalue()


def unpack_survey(packed: bytes) -> Survey:
    """See ``pack_survey``."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as parts:
        rgb = cv2.imdecode(parts["picture"], cv2.IMREAD_COLOR)
        return Survey(np.asarray(rgb, np.uint8), mask_of(parts), float(parts["l0_per_px"]))


@dataclass(frozen=True, slots=True)
class PackedLabels:
    """The label image of one tile, compressed: about 20 KB for 1100 x 1100 px."""

    height: int
    width: int
    bits: int
    data: bytes

    @classmethod
    def of(cls, labels: Labels) -> PackedLabels:
        """Pack (h, w) int32 labels, none below 0."""
        bits = 16 if labels.max(initial=0) < 1 << 16 else 32
        raw = labels.astype(UNSIGNED[bits]).tobytes()
        height, width = labels.shape
        return cls(height, width, bits, CODEC.compress(raw, asbytes=True))

    def labels(self) -> Labels:
        """The labels again."""
        size = self.height * self.width * self.bits // 8
        raw = CODEC.decompress(self.data, size, asbytes=True)
        whole = np.frombuffer(raw, UNSIGNED[self.bits]).reshape(self.height, self.width)
        return whole.astype(np.int32)


def pack_tiles(tiles: Mapping[int, PackedLabels]) -> bytes:
    """Packed labels by tile index as bytes."""
    packed = tiles.values()
    columns = [
        arrow_array([*tiles], pa.int32()),
        arrow_array([each.height for each in packed], pa.int32()),
        arrow_array([each.width for each in packed], pa.int32()),
        arrow_array([each.bits for each in packed], pa.int8()),
        arrow_bytes([each.data for each in packed]),
    ]
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, TILES) as writer:
        writer.write_table(pa.Table.from_arrays(columns, schema=TILES))
    return buffer.getvalue()


def unpack_tiles(content: bytes) -> dict[int, PackedLabels]:
    """See ``pack_tiles``."""
    with pa.ipc.open_stream(content) as reader:
        rows = reader.read_all().to_pylist()
    return {row.pop("tile"): PackedLabels(**row) for row in rows}
