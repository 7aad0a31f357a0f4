"""Install pip into this environment from PyPI's own wheel, where ensurepip is missing."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

INDEX = "https://pypi.org/pypi/pip/json"


def main() -> None:
    """A wheel is a zip that Python can run: pip installs itself from it."""
    with urllib.request.urlopen(INDEX, timeout=30) as answer:
        release = json.load(answer)
    wheel = next(file for file in release["urls"] if file["packagetype"] == "bdist_wheel")
    with urllib.request.urlopen(urljoin(INDEX, wheel["url"]), timeout=60) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != wheel["digests"]["sha256"]:
        sys.exit("the pip wheel does not match its hash")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / wheel["filename"]
        path.write_bytes(content)
        subprocess.run([sys.executable, f"{path}/pip", "install", "--quiet", str(path)], check=True)


if __name__ == "__main__":
    main()
