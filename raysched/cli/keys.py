"""Which key the command line asks a server with: ``RAYSCHED_KEY``, or one that ``login`` stored.

Stored keys lie in one file that nobody else may read. A key is never an argument: whoever may list
the processes of a machine reads those.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path

from raysched.client.wire import service_url
from raysched.config import load_remote
from raysched.errors import InvalidSetting, StorageFailed, Unauthorized

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def key_for(server: str) -> str:
    """The key for a server. Raises ``Unauthorized`` where none is known, ``InvalidSetting`` for a
    file of keys that others may read."""
    remote = load_remote()
    if remote.key is not None:
        return remote.key.get_secret_value().strip()
    url = service_url(server)
    try:
        return stored(remote.keys)[url]
    except KeyError:
        raise Unauthorized(
            f"There is no key for {url}.",
            remedy=f"Run `raysched login {url}`, or set RAYSCHED_KEY.",
        ) from None


def stored(path: Path) -> dict[str, str]:
    """All keys of a file by the address of their server."""
    try:
        if path.stat().st_mode & OTHERS:
            raise InvalidSetting(
                f"Others may read the keys in {path}.",
                remedy=f"Run `chmod 600 {path}`, and replace the keys if others use this machine.",
                path=str(path),
            )
        return {str(url): str(key) for url, key in json.loads(path.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidSetting(
            f"The keys in {path} cannot be read: {error}.",
            remedy="Remove the file and log in again.",
            path=str(path),
        ) from None


def store(path: Path, server: str, key: str | None) -> None:
    """Keep the key of a server, readable by this user alone; None forgets it. Raises
    ``StorageFailed``."""
    keys = stored(path)
    keys.pop(server, None)
    if key is not None:
        keys[server] = key
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file, fresh = tempfile.mkstemp(prefix=".keys.", dir=path.parent)  # mode 0600 from the first
        with os.fdopen(file, "w") as to:
            json.dump(keys, to, indent=1)
        Path(fresh).replace(path)
    except OSError as error:
        raise StorageFailed(
            f"The key cannot be kept in {path}: {error.strerror or error}.",
            remedy="Name another file with RAYSCHED_KEYS, or set RAYSCHED_KEY.",
            path=str(path),
        ) from error
