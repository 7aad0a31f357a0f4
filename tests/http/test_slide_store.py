"""Slides and uploads as files, without HTTP: names, room, pieces, deaths, pages."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysched.errors import (
    BadFileName,
    ChecksumDiffers,
    Conflict,
    NotFound,
    NotReady,
    PieceTooLarge,
    QuotaFull,
    RayschedError,
    StorageFull,
    UploadBusy,
    UploadRefused,
)
from raysched.results.storage import lock
from serve_app.slides import checking
from serve_app.slides.checking import check
from serve_app.slides.names import checked_name, suffix_of
from serve_app.slides.record import RECORD, SlideState
from serve_app.slides.store import SlideStore, store_of
from serve_app.slides.uploads import BUSY, Piece
from tests.http.sending import TIFF_HEAD, checked, files_below, send, uploads

# Pillow's, which says whether what is no slide is a plain image
pytestmark = pytest.mark.filterwarnings("ignore:Corrupt EXIF data")


@pytest.fixture
def store(tmp_path: Path) -> SlideStore:
    return store_of(tmp_path / "slides", "ann")


# --- names ----------------------------------------------------------------------------------------

NAMES = st.one_of(
    st.text(max_size=300),
    st.builds(
        lambda parts, suffix: "".join(parts) + suffix,
        st.lists(
            st.sampled_from(
                [
                    *(
                        "..",
                        "/",
                        "\\",
                        "\0",
                        "\n",
                        "\u202e",
                        "\u200f",
                        "\ud800",
                        "con",
                        "NUL",
                        "aux",
                    ),
                    *(
                        "é",
                        "e\u0301",
                        "日本",
                        "x" * 255,
                        " ",
                        ".",
                        "a",
                        "~",
                        "$HOME",
                        "%2e%2e",
                        ":",
                    ),
                ]
            ),
            max_size=6,
        ),
        st.sampled_from([".svs", ".tif", ".SVS", ".zip", ".svs/", ".svs.", ".mrxs", ""]),
    ),
)


@given(name=NAMES)
def test_a_name_comes_back_as_given_or_is_refused_and_nothing_is_written_elsewhere(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    top = tmp_path_factory.mktemp("names")
    store = store_of(top / "state" / "slides", "ann")
    try:
        slide = send(store, name, TIFF_HEAD + b"rest")
    except (BadFileName, UploadRefused):
        assert {path.rsplit("/", 1)[-1] for path in files_below(top)} <= {".lock"}
        return
    check(store, slide)
    assert store.record(slide).name == name
    outside = {path for path in files_below(top) if not path.startswith("state/slides/")}
    assert outside == set()
    own = {path.split("/")[3] for path in files_below(top) if path.count("/") > 2}
    assert own == {slide, ".lock"}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            ".",
            "..",
            "../a.svs",
            "a/b.svs",
            "a\\b.svs",
            "/etc/passwd.svs",
            "a\0.svs",
            "a\n.svs",
        ),
        *("\u202esvs.exe.svs", "a\u200f.svs", "a\u200b.svs", "\ud800.svs", ".hidden.svs", " a.svs"),
        *("con.svs", "NUL.tif", "com1.svs", "LPT9.svs", "a.svs.", "x" * 252 + ".svs"),
    ],
)
def test_names_that_are_no_file_s_everywhere_are_refused(name: str) -> None:
    with pytest.raises(BadFileName):
        checked_name(name)


@pytest.mark.parametrize(
    "name", ["Fall 12 (HE) ä.svs", "日本.tif", "x" * 251 + ".svs", "e\u0301.svs", "control.svs"]
)
def test_plain_names_of_any_script_are_taken(name: str) -> None:
    assert checked_name(name) == name
    suffix_of(name)


def test_a_wrong_extension_says_what_to_upload_instead(store: SlideStore) -> None:
    with pytest.raises(UploadRefused) as refused:
        uploads(store).create("photo.jpg", 10, 0)
    assert refused.value.message == "'photo.jpg' does not end like a slide that is taken in."
    assert refused.value.remedy.startswith("Upload one of .svs, .tif,")
    with pytest.raises(UploadRefused) as alone:
        uploads(store).create("CMU-1.mrxs", 10, 0)
    assert "X.mrxs and the folder X into one .zip" in alone.value.remedy


# --- room -----------------------------------------------------------------------------------------


def test_what_was_announced_counts_before_it_arrives(store: SlideStore) -> None:
    first = uploads(store).create("a.svs", 600, 1000)
    assert store.used() == 600
    with pytest.raises(QuotaFull) as full:
        uploads(store).create("b.svs", 401, 1000)
    assert full.value.message == (
        "'b.svs' has 401 bytes, and of your 1.0 kB there are 400 bytes left."
    )
    uploads(store).delete(first.record.id)
    assert store.used() == 0
    uploads(store).create("b.svs", 1000, 1000)


def test_uploads_at_the_same_time_cannot_exceed_the_quota_together(store: SlideStore) -> None:
    at_once = 8
    ready = threading.Barrier(at_once)

    def one(_: int) -> bool:
        ready.wait()
        try:
            uploads(store).create("a.svs", 600, 1000)
        except QuotaFull:
            return False
        return True

    with ThreadPoolExecutor(at_once) as threads:
        for _ in range(5):
            assert sum(threads.map(one, range(at_once))) == 1
            uploads(store).delete(uploads(store).list()[0].record.id)


def test_more_than_the_disk_has_is_refused_before_the_first_byte(store: SlideStore) -> None:
    with pytest.raises(StorageFull):
        uploads(store).create("a.svs", 2**60, 0)
    assert store.used() == 0


def test_users_have_folders_and_room_of_their_own(store: SlideStore, tmp_path: Path) -> None:
    slide = send(store, "a.svs", TIFF_HEAD)
    other = store_of(tmp_path / "slides", "ben")
    assert other.page(10) == ([], None)
    assert other.used() == 0
    for ask in (other.record, other.delete, uploads(other).find, uploads(other).delete):
        with pytest.raises(NotFound):
            ask(slide)


# --- pieces ---------------------------------------------------------------------------------------


def test_an_upload_goes_on_where_it_was_cut(store: SlideStore) -> None:
    made = uploads(store).create("a.svs", 10, 0).record.id
    piece = Piece(store, made)
    piece.begin(0)
    piece.write(b"II*\0..")
    piece.give_up()
    assert uploads(store).find(made).offset == 6
    with pytest.raises(Conflict) as wrong:
        Piece(store, made).begin(5)
    assert wrong.value.facts == {"offset": 6}
    piece = Piece(store, made)
    piece.begin(6)
    piece.write(b"rest")
    assert piece.end() == 10
    found = uploads(store).find(made)
    assert (found.offset, found.slide and found.slide.state) == (10, SlideState.CHECKING)
    assert store.record(made).size_bytes == 10


def test_a_process_that_is_killed_in_a_piece_leaves_what_it_wrote(store: SlideStore) -> None:
    made = uploads(store).create("a.svs", 10, 0).record.id
    code = (
        "import sys; from pathlib import Path\n"
        "from serve_app.slides.store import SlideStore\n"
        "from serve_app.slides.uploads import Piece\n"
        "piece = Piece(SlideStore(Path(sys.argv[1])), sys.argv[2])\n"
        "piece.begin(0); piece.write(b'II*\\0..')\n"
        "print('written', flush=True); sys.stdin.readline()\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(store.folder), made],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    assert writer.stdin is not None
    assert writer.stdout.readline() == b"written\n"
    with pytest.raises(UploadBusy):
        Piece(store, made).begin(6)
    writer.kill()
    writer.wait()
    for pipe in (writer.stdin, writer.stdout):
        pipe.close()
    piece = Piece(store, made)
    piece.begin(6)
    piece.write(b"rest")
    piece.end()
    assert (store.of(made) / "data").read_bytes() == b"II*\0..rest"


def test_more_than_was_announced_is_not_taken(store: SlideStore) -> None:
    made = uploads(store).create("a.svs", 5, 0).record.id
    piece = Piece(store, made)
    piece.begin(0)
    with pytest.raises(PieceTooLarge):
        piece.write(b"II*\0..")
    piece.give_up()
    assert uploads(store).find(made).offset == 0


def test_a_piece_with_a_wrong_checksum_leaves_nothing(store: SlideStore) -> None:
    made = uploads(store).create("a.svs", 8, 0).record.id
    piece = Piece(store, made, "sha256 AAAA")
    piece.begin(0)
    piece.write(b"II*\0")
    with pytest.raises(ChecksumDiffers):
        piece.end()
    assert uploads(store).find(made).offset == 0


def test_a_file_that_is_not_what_its_name_says_is_refused_after_a_megabyte(
    store: SlideStore,
) -> None:
    made = uploads(store).create("a.svs", 5_000_000, 0).record.id
    piece = Piece(store, made)
    piece.begin(0)
    piece.write(b"\xff\xd8\xff\xe0" + bytes(900_000))
    with pytest.raises(UploadRefused) as refused:
        piece.write(bytes(200_000))
    piece.give_up()
    assert (
        refused.value.message == "'a.svs' ends in .svs but is no TIFF: it begins with ff d8 ff e0."
    )
    with pytest.raises(NotFound):
        uploads(store).find(made)
    assert store.used() == 0


def test_an_upload_can_be_given_up_while_a_piece_arrives(store: SlideStore) -> None:
    made = uploads(store).create("a.svs", 4, 0).record.id
    piece = Piece(store, made)
    piece.begin(0)
    uploads(store).delete(made)
    piece.write(TIFF_HEAD)
    with pytest.raises(NotFound):
        piece.end()
    assert (store.used(), store.page(10)) == (0, ([], None))


def test_uploads_of_which_nothing_arrives_any_more_are_deleted(store: SlideStore) -> None:
    old, busy, new = (uploads(store).create("a.svs", 4, 0).record.id for _ in range(3))
    for each in (old, busy):
        os.utime(store.uploads / each / "data", (0, 0))
    abandoned = store.uploads / ".half-made"
    abandoned.mkdir()
    os.utime(abandoned, (0, 0))
    with lock(store.uploads / busy / BUSY):
        uploads(store).sweep()
    assert {each.record.id for each in uploads(store).list()} == {busy, new}
    assert not abandoned.exists()
    with pytest.raises(NotFound):
        uploads(store).find(old)


# --- looking at slides ----------------------------------------------------------------------------


def test_a_real_slide_becomes_ready_with_all_that_is_known_of_it(
    store: SlideStore, sample_slide: Path
) -> None:
    data = sample_slide.read_bytes()
    record = checked(store, "Fall 1 ä.svs", data)
    assert record.state is SlideState.READY
    assert record.sha256 == hashlib.sha256(data).hexdigest()
    assert record.facts is not None
    assert (record.facts.vendor, record.facts.mpp_source) == ("aperio", "vendor")
    assert [(level.width, level.height) for level in record.facts.levels] == [(2220, 2967)]
    assert store.file(record).read_bytes() == data
    assert store.file(record).name == "Fall 1 ä.svs"
    assert (store.of(record.id) / "thumbnail.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert store.used() == len(data)
    store.delete(record.id)
    assert (store.used(), store.page(10)) == (0, ([], None))
    assert files_below(store.folder) == {".lock"}


def test_a_damaged_slide_is_refused_with_its_reason_and_holds_no_room(
    store: SlideStore, sample_slide: Path
) -> None:
    record = checked(store, "cut.svs", sample_slide.read_bytes()[:100_000])
    assert (record.state, store.used()) == (SlideState.REFUSED, 0)
    assert record.trouble is not None
    assert record.trouble.message.startswith("cut.svs is cut short: it has 100000 bytes")
    assert record.trouble.remedy.startswith("Copy the file again")
    assert str(store.folder) not in record.model_dump_json()
    assert files_below(store.of(record.id)) <= {RECORD, "upload.json", "check.lock", BUSY}
    with pytest.raises(UploadRefused):
        store.file(record)


def test_what_arrived_must_be_what_was_meant(store: SlideStore, sample_slide: Path) -> None:
    record = checked(store, "a.svs", sample_slide.read_bytes(), sha256="0" * 64)
    assert record.trouble is not None
    assert record.trouble.message.endswith(f", not {'0' * 64}.")


def test_a_check_that_died_is_begun_again_by_a_process(
    store: SlideStore, sample_slide: Path
) -> None:
    slide = send(store, "a.svs", sample_slide.read_bytes())
    content = store.of(slide) / "content"
    content.mkdir()
    store.change(slide, lambda r: r.model_copy(update={"file": r.name}))  # as far as that
    with pytest.raises(NotReady):
        store.file(store.record(slide))
    with lock(store.of(slide) / "check.lock"):
        check(store, slide)  # somebody is at work
    assert store.record(slide).state is SlideState.CHECKING
    command = [sys.executable, "-m", "serve_app.slides.checking", str(store.of(slide))]
    subprocess.run(command, check=True)
    assert store.record(slide).state is SlideState.READY


def test_a_slide_whose_check_never_ends_is_refused_in_the_end(store: SlideStore) -> None:
    slide = send(store, "a.svs", TIFF_HEAD)
    store.change(slide, lambda r: r.model_copy(update={"tries": 5}))
    check(store, slide)
    trouble = store.record(slide).trouble
    assert trouble is not None
    assert trouble.message == "Looking at 'a.svs' has not come to an end 5 times."


def test_pages_hold_every_slide_once_newest_first(store: SlideStore) -> None:
    made = [send(store, f"{number}.svs", TIFF_HEAD) for number in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        records, cursor = store.page(3, cursor)
        assert len(records) <= 3
        seen += [record.id for record in records]
        if cursor is None:
            break
    assert seen == sorted(made, reverse=True)


def test_a_slide_is_renamed_and_its_file_is_not(store: SlideStore, sample_slide: Path) -> None:
    slide = checked(store, "a.svs", sample_slide.read_bytes()).id
    renamed = store.rename(slide, "b.svs")
    assert (renamed.name, store.file(renamed).name) == ("b.svs", "a.svs")
    with pytest.raises(UploadRefused):
        store.rename(slide, "b.tif")
    with pytest.raises(BadFileName):
        store.rename(slide, "../b.svs")


def test_ids_sort_by_time(store: SlideStore) -> None:
    first = send(store, "a.svs", TIFF_HEAD)
    begun = time.time_ns() // 10**6
    while time.time_ns() // 10**6 == begun:
        pass
    assert first < send(store, "b.svs", TIFF_HEAD)


def test_every_refusal_says_what_to_do(store: SlideStore) -> None:
    for name, size in (("a.txt", 1), ("a.svs", 0), ("a/b.svs", 1)):
        with pytest.raises(RayschedError) as refused:
            uploads(store).create(name, size, 0)
        assert refused.value.remedy.endswith((".", "zip."))


def test_whoever_has_many_slides_checked_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: SimpleQueue[str] = SimpleQueue()
    done = threading.Event()

    def slow(folder: Path) -> None:
        begun.put(folder.parent.name)
        done.wait(10)

    threads = checking.FairThreads(checking.AT_ONCE, checking.AT_ONCE_PER_USER)
    monkeypatch.setattr(checking, "_in_a_process", slow)
    monkeypatch.setattr(checking, "_threads", lambda: threads)
    monkeypatch.setattr(checking, "_begun", set())
    eve, bob = (store_of(tmp_path / "slides", user) for user in ("eve", "bob"))
    with threads:
        for store in [eve] * 6 + [bob]:
            slide = send(store, "a.svs", TIFF_HEAD)
            checking.ensure_checked(store, store.record(slide))
        first = [begun.get(timeout=5) for _ in range(3)]
        done.set()
        others = [begun.get(timeout=5) for _ in range(4)]
    assert sorted(first) == sorted([eve.folder.name] * 2 + [bob.folder.name])
    assert others == [eve.folder.name] * 4
