"""``raysched download``: the results of a server's job, as the folder that a run here leaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from raysched.cli.bars import bar_for
from raysched.cli.beside import unpack
from raysched.cli.export import refuse_existing
from raysched.cli.options import OneJob
from raysched.cli.service import reach_server
from raysched.cli.voice import Voice
from raysched.results.storage import readable_size, size_of

ZIP = ".zip"


@dataclass(frozen=True, kw_only=True)
class DownloadOptions(OneJob):
    """The options of ``download``."""

    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="New folder, or one file: .zip. Default: the job's id."),
    ] = None
    file: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="One file of the results alone: manifest.json."),
    ] = None


def download(options: DownloadOptions, voice: Voice) -> None:
    """Fetch the results of a server's job. What was interrupted goes on where it can."""
    name = Path(options.file).name if options.file else options.job
    out = options.out or Path(name)
    refuse_existing(out)
    with reach_server(options) as server, bar_for(out.name) as moved:
        if options.file:
            server.download(options.job, options.file, out, moved)
        elif out.suffix == ZIP:
            server.download_zip(options.job, out, moved)
        else:
            packed = out.with_name(f".{out.name}{ZIP}")
            packed.unlink(missing_ok=True)  # of a command that was killed while it unpacked
            server.download_zip(options.job, packed, moved)
            unpack(packed, out, options.job)
            packed.unlink()
    size_bytes = size_of(out)
    voice.emit(download={"path": str(out.absolute()), "size_bytes": size_bytes})
    voice.say(f"results in {out} ({readable_size(size_bytes)})")
