"""Which files may be named over HTTP, and keeping the server's own paths to itself."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from raysched.config import Config
from raysched.errors import InvalidSetting, SlideMissing

PATH_FORMATS = {"path", "file-path", "directory-path"}
"""What the JSON schema says of ``Path`` and its like."""
UPLOADED = re.compile(r"[0-9a-f]{32}/sl-[0-9a-f]{21}/(?:content/)?")
"""What is left of the path to an uploaded slide once the folder of all is taken off."""


def slide_folders(config: Config) -> tuple[Path, ...]:
    """The folders whose slides may be named, as they are configured."""
    return tuple(path.absolute() for path in config.serve.slide_folders)


def find_slide(name: str, config: Config) -> Path:
    """The slide of that name on the server: relative to a slide folder, or a full path into one.

    Symlinks are followed first and what they lead to must lie in a slide folder as well. Raises
    ``SlideMissing``, in the same words for what is not there and for what may not be named.
    """
    for folder in slide_folders(config):
        try:
            path = (folder / name).resolve(strict=True)
            if path.is_relative_to(folder.resolve()) and path.is_file():
                return path
        except (OSError, ValueError, RuntimeError):  # no such file, NUL, too long, a link loop
            continue
    raise SlideMissing(
        f"There is no slide {name[:200]!r} that this service may read.",
        remedy="Check the name; the operator adds folders with serve.slide_folders.",
    )


def refuse_files(kind: type[BaseModel], params: dict[str, Any], config: Config) -> None:
    """Refuse parameters of an engine that name a file outside the operator's model folders.

    Which parameters are paths says their JSON schema, ``"format": "path"``. Raises
    ``InvalidSetting``, in the same words for what is not there and for what may not be named.
    """
    described = kind.model_json_schema().get("properties", {})
    for name, value in params.items():
        if not _is_path(described.get(name, {})):
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is not None and not _is_model(str(each), config):
                raise InvalidSetting(
                    f"There is no file {str(each)[:200]!r} that this service may read for the "
                    f"parameter {name!r}.",
                    remedy="Check the name; the operator adds folders with serve.model_folders.",
                )


def _is_path(described: dict[str, Any]) -> bool:
    """Also of what may be left out, and of lists: their schema says it of a part."""
    parts = [*described.get("anyOf", ()), described.get("items", {})]
    return described.get("format") in PATH_FORMATS or any(_is_path(each) for each in parts if each)


def _is_model(name: str, config: Config) -> bool:
    try:
        path = Path(name).resolve(strict=True)
        folders = [folder.resolve() for folder in config.serve.model_folders]
        return (
            Path(name).is_absolute()
            and path.is_file()
            and any(path.is_relative_to(folder) for folder in folders)
        )
    except (OSError, ValueError, RuntimeError):  # as for slides
        return False


def server_folders(config: Config) -> tuple[Path, ...]:
    """The folders of the service whose paths are nobody else's business, with and without links."""
    kept = (config.uploads, config.state, config.cache, *filter(None, [config.samples]))
    folders = (*slide_folders(config), *(folder.absolute() for folder in kept))
    return (*folders, *(folder.resolve() for folder in folders))


def machine_folders(config: Config) -> tuple[Path, ...]:
    """The same and what a traceback or an engine's message may name: models, the installation, the
    home of whoever runs the service."""
    here = (Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parent.parent, Path.home())
    folders = (*config.serve.model_folders, *here)
    return (*server_folders(config), *folders, *(folder.resolve() for folder in folders))


def conceal(text: str, folders: Iterable[Path]) -> str:
    """The text without the folders that its paths begin with; the deepest folder goes first, and
    those that uploads have to themselves go in any case."""
    for folder in sorted(map(str, folders), key=len, reverse=True):
        if folder != "/":
            text = text.replace(f"{folder}/", "").replace(folder, "the folder")
    return UPLOADED.sub("", text)
