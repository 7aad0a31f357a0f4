"""``raysched upload`` and ``raysched slide``: your slides at a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysched.cli.bars import bar_for
from raysched.cli.options import Serving, verb
from raysched.cli.service import reach_server
from raysched.cli.voice import Voice
from raysched.errors import InvalidSetting
from raysched.results.storage import readable_size

if TYPE_CHECKING:
    from serve_app.slide_models import Slide


@dataclass(frozen=True, kw_only=True)
class UploadOptions(Serving):
    """The options of ``upload``."""

    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Slides; one of several files as a zip."),
    ]
    name: Annotated[
        str | None, typer.Option(help="Name at the server, of one file. Default: the file's.")
    ] = None


@dataclass(frozen=True, kw_only=True)
class OneSlide(Serving):
    """The options of verbs about one slide."""

    slide: Annotated[str, typer.Argument(metavar="SLIDE", help="Id of a slide: sl-...")]


@dataclass(frozen=True, kw_only=True)
class RenameOptions(OneSlide):
    """The options of ``slide rename``."""

    name: Annotated[str, typer.Argument(metavar="NAME", help="New name, with the same ending.")]


@dataclass(frozen=True, kw_only=True)
class GetOptions(OneSlide):
    """The options of ``slide get``."""

    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write. Default: its name.")
    ] = None


def upload(options: UploadOptions, voice: Voice) -> None:
    """Send slides to a server. What was interrupted goes on where it was."""
    if options.name and len(options.files) > 1:
        raise InvalidSetting("One name for several files.", remedy="Send them one by one.")
    with reach_server(options) as server:
        for file in options.files:
            with bar_for(file.name) as moved:
                slide = server.upload(file, name=options.name, progress=moved)
            _say(slide, voice)


def list_(options: Serving, voice: Voice) -> None:
    """Show your slides."""
    with reach_server(options) as server:
        found = tuple(server.slides())
    voice.emit(slides=[slide.model_dump(mode="json") for slide in found])
    if not found:
        voice.say("no slides")
    for slide in found:
        voice.say(_row(slide))


def show(options: OneSlide, voice: Voice) -> None:
    """Show one slide."""
    with reach_server(options) as server:
        _say(server.slide(options.slide), voice)


def rename(options: RenameOptions, voice: Voice) -> None:
    """Give a slide another name. Jobs go on showing the name of its file."""
    with reach_server(options) as server:
        _say(server.rename_slide(options.slide, options.name), voice)


def delete(options: OneSlide, voice: Voice) -> None:
    """Delete a slide at the server. Results of earlier jobs stay."""
    with reach_server(options) as server:
        server.delete_slide(options.slide)
    voice.emit(deleted={"slide": options.slide})
    voice.say(f"{options.slide} is deleted")


def get(options: GetOptions, voice: Voice) -> None:
    """Fetch a slide's file. What was interrupted goes on where it was."""
    with reach_server(options) as server:
        out = options.out or Path(server.slide(options.slide).name)
        with bar_for(out.name) as moved:
            server.download_slide(options.slide, out, moved)
    size_bytes = out.stat().st_size
    voice.emit(download={"path": str(out.absolute()), "size_bytes": size_bytes})
    voice.say(f"{out} ({readable_size(size_bytes)})")


app = typer.Typer(help="Look after your slides at a server.", no_args_is_help=True)
app.command("list")(verb(list_))
for function in (show, rename, delete, get):
    app.command()(verb(function))


def _say(slide: Slide, voice: Voice) -> None:
    voice.emit(slide=slide.model_dump(mode="json"))
    voice.say(_row(slide))
    if slide.why:
        voice.say(f"  error: {slide.why.message}")
        voice.say(f"  do: {slide.why.remedy}")


def _row(slide: Slide) -> str:
    """One line about one slide."""
    size = f"{slide.width} x {slide.height} px" if slide.width else ""
    mpp = f"{slide.mpp:.4g} um/px" if slide.mpp else ""
    facts = ", ".join(filter(None, (readable_size(slide.size_bytes), size, mpp)))
    return f"{slide.id}  {slide.state:<8}  {slide.name}  ({facts})"
