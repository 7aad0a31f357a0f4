"""Slides come in and go, users are taken in and shut out: by the page alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Opening, admin_key, new_key
from tests.http.conftest import Service

pytestmark = [
    pytest.mark.http,
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`"),
]

PIECE_BYTES = 8_000_000
CHOOSER = "#slide-files"


@pytest.fixture
def large_slide(tmp_path: Path, sample_slide: Path) -> Path:
    """Three pieces of an upload: the sample with nothing behind it, which readers pass over."""
    path = tmp_path / "large.svs"
    path.write_bytes(sample_slide.read_bytes().ljust(2 * PIECE_BYTES + 1000, b"\0"))
    return path


def test_what_is_no_slide_is_refused_with_a_reason_and_what_is_one_is_shown(
    opened: Opening, service: Service, sample_slide: Path, tmp_path: Path
) -> None:
    watched = opened()
    page = watched.log_in(new_key(service, "una"))
    expect(page.get_by_role("heading", name="Drop a slide to begin")).to_be_visible()
    watched.picture("slides-none")
    note = tmp_path / "note.svs"
    note.write_bytes(b"no slide at all" * 100)
    page.set_input_files(CHOOSER, [note, sample_slide])
    expect(page.get_by_role("alert")).to_contain_text("is no TIFF")
    expect(page.get_by_role("alert")).to_contain_text("Check that it is the slide itself")
    watched.faults.clear()  # the browser reports what was refused
    card = page.get_by_role("listitem").filter(has_text=sample_slide.name)
    expect(card).to_contain_text("µm/px")
    watched.picture("slides")
    card.get_by_role("link", name=sample_slide.name, exact=True).click()
    expect(page.get_by_role("heading", name=sample_slide.name)).to_be_visible()
    expect(page.get_by_text("Nothing was made from this slide yet.")).to_be_visible()
    watched.picture("slide")


def test_an_upload_that_was_cut_off_goes_on_where_it_was_after_the_page_was_left(
    opened: Opening, service: Service, large_slide: Path
) -> None:
    watched = opened()
    page = watched.log_in(new_key(service, "ulf"))

    def cut_off(route: Route) -> None:
        is_later = route.request.headers.get("upload-offset") not in {None, "0"}
        if is_later:
            route.abort()
        else:
            route.continue_()

    page.route("**/uploads/*", cut_off)
    page.set_input_files(CHOOSER, large_slide)
    expect(page.get_by_text("the connection is lost")).to_be_visible()
    page.reload()
    page.unroute("**/uploads/*")
    watched.faults.clear()  # the browser reports what was cut off
    expect(page.get_by_text("and not finished: 8.0 MB of")).to_be_visible()
    watched.picture("upload-left")
    offsets: list[str] = []
    page.on("request", lambda asked: offsets.append(asked.headers.get("upload-offset", "")))
    _choose(page, "Choose the same file to go on", large_slide)
    expect(page.get_by_role("listitem").filter(has_text="µm/px")).to_be_visible()
    assert [each for each in offsets if each] == [str(PIECE_BYTES), str(2 * PIECE_BYTES)]


def test_another_file_does_not_go_on_with_an_upload(
    opened: Opening, service: Service, large_slide: Path, sample_slide: Path
) -> None:
    watched = opened()
    page = watched.log_in(new_key(service, "uma"))
    page.route("**/uploads/*", lambda route: route.abort())
    page.set_input_files(CHOOSER, large_slide)
    expect(page.get_by_text("the connection is lost")).to_be_visible()
    page.reload()
    page.unroute("**/uploads/*")
    watched.faults.clear()  # the browser reports what was cut off
    other = large_slide.with_name("other") / large_slide.name
    other.parent.mkdir()
    other.write_bytes(sample_slide.read_bytes())
    _choose(page, "Choose the same file to go on", other)
    expect(page.get_by_text("is not the file that was begun with")).to_be_visible()
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_text("and not finished")).to_have_count(0)


def test_a_slide_is_renamed_by_keyboard_and_deleted(
    opened: Opening, service: Service, sample_slide: Path
) -> None:
    watched = opened()
    page = watched.log_in(new_key(service, "udo"))
    page.set_input_files(CHOOSER, sample_slide)
    expect(page.get_by_text("µm/px")).to_be_visible()
    page.get_by_role("button", name=f"Rename {sample_slide.name}").press("Enter")
    page.keyboard.type("biopsy 12")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="biopsy 12.svs", exact=True)).to_be_visible()
    page.get_by_role("button", name="Delete biopsy 12.svs").click()
    page.get_by_role("button", name="Delete the slide").click()
    expect(page.get_by_role("heading", name="Drop a slide to begin")).to_be_visible()


def test_an_administrator_takes_a_user_in_whose_key_is_shown_once(
    opened: Opening, service: Service
) -> None:
    watched = opened()
    page = watched.log_in(admin_key(service))
    watched.go("users")
    page.get_by_role("button", name="New user").click()
    page.get_by_label("Id", exact=True).fill("urs")
    page.get_by_role("button", name="Make the user and a key").click()
    expect(page.get_by_text("It is not shown again.")).to_be_visible()
    watched.picture("key")
    key = page.get_by_role("dialog").locator("code").inner_text()
    page.get_by_role("button", name="I have kept it").click()
    assert key not in page.content()
    watched.picture("users")
    theirs = opened()
    theirs.log_in(key)
    theirs.go("users")
    expect(theirs.page.get_by_role("heading", name="For administrators")).to_be_visible()
    theirs.go("account")
    expect(theirs.page.get_by_text("in use here")).to_be_visible()
    theirs.picture("account")


def test_a_user_is_deleted_only_by_typing_the_id(opened: Opening, service: Service) -> None:
    new_key(service, "uwe")
    watched = opened()
    page = watched.log_in(admin_key(service))
    watched.go("users/uwe")
    page.get_by_label("Disable, delete").check()
    gone = page.get_by_role("button", name="Delete Uwe")
    page.get_by_label("Type uwe to confirm").fill("uw")
    expect(gone).to_be_disabled()
    page.get_by_label("Type uwe to confirm").fill("uwe")
    gone.click()
    expect(page.get_by_text("Uwe is deleted.")).to_be_visible()
    expect(page.get_by_role("link", name="Uwe", exact=True)).to_have_count(0)


def _choose(page: Page, button: str, file: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=button).click()
    chooser.value.set_files(file)
