"""Zips and folders of the server: nothing hostile is written, nothing else can be named."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from raysched.cluster.gateway import Gateway
from raysched.config import load_config
from raysched.core.accounts import Caller, KeyKind, Role
from raysched.core.model import KeyId, UserId
from raysched.errors import SlideMissing, UploadRefused
from serve_app.desk import Desk
from serve_app.identity import Asking
from serve_app.slides import archives
from serve_app.slides.checking import check
from serve_app.slides.folders import find_below, listed
from serve_app.slides.record import RECORD, SlideRecord, SlideState
from serve_app.slides.store import SlideStore, new_id, store_of
from serve_app.slides.uploads import BUSY
from tests.http.sending import TIFF_HEAD, checked, files_below, send


@pytest.fixture
def store(tmp_path: Path) -> SlideStore:
    return store_of(tmp_path / "slides", "ann")


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return made.getvalue()


def as_link(name: str) -> bytes:
    made, entry = io.BytesIO(), zipfile.ZipInfo(name)
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    return made.getvalue()


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    """A zip with a name that no zip writer writes."""
    assert len(old) == len(new)
    return data.replace(old, new)


def with_claimed_size(size: int) -> bytes:
    """A zip that says of its one file that it is as long."""
    data = bytearray(zipped({"a.svs": TIFF_HEAD}))
    at = data.rfind(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(data)


HOSTILE = {
    "traversal": (zipped({"../a.svs": TIFF_HEAD}), "'..'"),
    "inner traversal": (zipped({"a/../../b.svs": TIFF_HEAD}), "'..'"),
    "absolute": (zipped({"/etc/a.svs": TIFF_HEAD}), "is empty"),
    "backslashes": (zipped({"..\\a.svs": TIFF_HEAD}), "holds a / or"),
    "drive": (zipped({"C:\\a.svs": TIFF_HEAD}), "holds a / or"),
    "NUL": (renamed(zipped({"aXb.svs": TIFF_HEAD}), b"aXb", b"a\0b"), "cannot be seen"),
    "link": (as_link("a.svs"), "a link or a device"),
    "twice": (zipped({"a.svs": b"1", "A.svs": b"2"}), "twice"),
    "file and folder": (zipped({"a": b"1", "a/b.svs": TIFF_HEAD}), "a file and a folder"),
    "reserved": (zipped({"nul.svs": TIFF_HEAD}), "reserved by some systems"),
    "long name": (zipped({"x" * 256 + ".svs": TIFF_HEAD}), "up to 255"),
    "deep": (zipped({"/".join("abcdefghij") + "/a.svs": TIFF_HEAD}), "too deep"),
    "bomb": (zipped({"a.svs": bytes(10_000_000)}, zipfile.ZIP_DEFLATED), "grows more than 100"),
    "lies about its size": (with_claimed_size(5), "not as long"),
    "lies grossly": (with_claimed_size(2**31), "grows more than 100"),
    "no slide": (zipped({"readme.txt": b"hello"}), "holds no slide"),
    "zip in zip": (zipped({"a.zip": zipped({"a.svs": TIFF_HEAD})}), "holds no slide"),
    "two slides": (zipped({"a.svs": TIFF_HEAD, "b.svs": TIFF_HEAD}), "holds 2 slides"),
    "two mrxs": (zipped({"a.mrxs": b"1", "b.mrxs": b"2"}), "holds 2 .mrxs slides"),
    "bzip2": (zipped({"a.svs": TIFF_HEAD}, zipfile.ZIP_BZIP2), "otherwise than by Deflate"),
    "cut": (zipped({"a.svs": TIFF_HEAD})[:-10], "no list of its files"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_zip_is_refused_with_its_reason_and_leaves_nothing(
    name: str, store: SlideStore, tmp_path: Path
) -> None:
    data, why = HOSTILE[name]
    before = files_below(tmp_path)
    record = checked(store, "a.zip", data)
    assert record.state is SlideState.REFUSED
    assert record.trouble is not None
    assert why in record.trouble.message
    own = store.of(record.id).relative_to(tmp_path).as_posix()
    outside = {path for path in files_below(tmp_path) if not path.startswith(own)}
    assert {path for path in outside - before if not path.endswith((".lock", ".use"))} == set()
    assert files_below(store.of(record.id)) <= {RECORD, "upload.json", "check.lock", BUSY}
    assert store.used() == 0


def test_a_zip_with_too_many_entries_is_refused_from_its_end_alone(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.svs": TIFF_HEAD}))
    at = data.rfind(b"PK\x05\x06")
    data[at + 8 : at + 12] = struct.pack("<HH", 60_000, 60_000)
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(UploadRefused, match="60,000 entries"):
        archives.SlideZip(tmp_path / "a.zip")


@pytest.mark.parametrize("shown", ["a smaller record", "nothing"])
def test_a_listing_is_bounded_wherever_the_zip_says_that_it_is_described(
    shown: str, tmp_path: Path
) -> None:
    """The locator of a Zip64 leads elsewhere than to the record before it: readers differ in which
    of the two they take."""
    data = zipped({"a.svs": TIFF_HEAD})
    first, end = data.rfind(b"PK\x01\x02"), data.rfind(b"PK\x05\x06")
    head, entry = data[:first], data[first:end]

    def record(entries: int, at: int) -> bytes:
        told = (44, 45, 45, 0, 0, entries, entries, entries * len(entry), at)
        return struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", *told)

    small = record(1, first)
    many = archives.MOST_ENTRIES + 1
    listing = head + small + entry * many
    large = record(many, len(head) + len(small))
    at = len(head) if shown == "a smaller record" else 0
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, at, 1)
    (tmp_path / "a.zip").write_bytes(listing + large + locator + data[end:])
    with pytest.raises(UploadRefused, match=f"{many:,} entries"):
        archives._check_listing(tmp_path / "a.zip")


def test_what_a_zip_holds_counts_against_the_quota_before_it_is_unpacked(
    store: SlideStore,
) -> None:
    again = TIFF_HEAD + random.Random(0).randbytes(1996)
    packed = zipped({"a.svs": again * 50}, zipfile.ZIP_DEFLATED)
    assert 1000 < len(packed) < 50_000
    slide = send(store, "a.zip", packed, quota=50_000)
    check(store, slide)
    trouble = store.record(slide).trouble
    assert trouble is not None
    assert trouble.code == "quota_full"
    assert trouble.message.startswith("Unpacked, the zip has 100.0 kB, and of your 50.0 kB")


def test_a_slide_in_a_zip_is_unpacked_checked_and_counted(
    store: SlideStore, sample_slide: Path
) -> None:
    inside = {
        "case 1/a.svs": sample_slide.read_bytes(),
        "__MACOSX/case 1/._a.svs": b"mac",
        "case 1/.DS_Store": b"mac",
    }
    record = checked(store, "a.zip", zipped(inside))
    assert (record.state, record.file) == (SlideState.READY, "case 1/a.svs")
    assert files_below(store.of(record.id) / "content") == {"case 1/a.svs"}
    assert store.used() == len(sample_slide.read_bytes())
    assert not (store.of(record.id) / "data").exists()


# --- the server's folders -------------------------------------------------------------------------


@pytest.fixture
def allowed(tmp_path: Path) -> tuple[Path, ...]:
    folder = tmp_path / "allowed"
    (folder / "case 1").mkdir(parents=True)
    for name in ("a.svs", "b.tif", "notes.txt", ".hidden.svs", "case 1/c.mrxs"):
        (folder / name).write_bytes(b"x")
    (tmp_path / "secret.svs").write_bytes(b"x")
    (folder / "way-out.svs").symlink_to(tmp_path / "secret.svs")
    (folder / "way-in.svs").symlink_to(folder / "a.svs")
    return (folder,)


def test_a_server_s_folder_shows_its_folders_and_slides_page_by_page(
    allowed: tuple[Path, ...],
) -> None:
    first, cursor = listed(allowed, (0, ""), 2, None)
    second, end = listed(allowed, (0, ""), 2, cursor)
    assert [each.name for each in first + second] == ["a.svs", "b.tif", "case 1", "way-in.svs"]
    assert (end, [each.is_folder for each in first]) == (None, [False, False])
    assert [each.name for each in listed(allowed, (0, "case 1"), 2, None)[0]] == ["c.mrxs"]


@pytest.mark.parametrize(
    ("number", "path"),
    [
        *(
            (0, "../secret.svs"),
            (0, "way-out.svs"),
            (0, "/etc/passwd"),
            (0, "a\0.svs"),
            (1, "a.svs"),
        ),
        *((-1, "a.svs"), (0, "x" * 5000), (0, "case 1/../../secret.svs"), (0, "nothing")),
    ],
)
def test_nothing_else_on_the_server_can_be_named(
    number: int, path: str, allowed: tuple[Path, ...]
) -> None:
    with pytest.raises(SlideMissing) as missing:
        find_below(allowed, number, path)
    assert str(allowed[0]) not in missing.value.message


def test_a_registered_slide_goes_with_its_folder(allowed: tuple[Path, ...], tmp_path: Path) -> None:
    """What the operator allows no more is read no more, though it was registered."""

    def desk(*folders: Path) -> Desk:
        config = load_config(state=tmp_path / "state", serve={"slide_folders": folders})
        who = Caller(UserId("ann"), "Ann", Role.USER, KeyId("k"), KeyKind.API, max_jobs=1)
        return Desk(config, Gateway("nowhere"), Asking(who, who.user, 1, None))

    record = SlideRecord(
        id=new_id(),
        name="a.svs",
        uploaded_at=datetime.now(UTC),
        state=SlideState.READY,
        from_server=True,
        file=str(allowed[0] / "a.svs"),
        size_bytes=1,
        held_bytes=0,
    )
    assert desk(*allowed).slide_file(record) == allowed[0] / "a.svs"
    with pytest.raises(SlideMissing):
        desk(tmp_path / "other").slide_file(record)


def test_a_dicom_slide_comes_alone_or_in_a_zip(store: SlideStore, samples: Path) -> None:
    data = (samples / "slides" / "openslide-python__boxes_0.dcm").read_bytes()
    alone = checked(store, "boxes.dcm", data)
    within = checked(store, "boxes.zip", zipped({"series/1.dcm": data}, zipfile.ZIP_DEFLATED))
    for record in (alone, within):
        assert (record.state, record.facts and record.facts.vendor) == (SlideState.READY, "dicom")
