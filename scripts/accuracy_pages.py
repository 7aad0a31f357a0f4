"""Writes what `raysched evaluate` measures into the documents: see scripts/accuracy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = Path(os.environ.get("RAYSCHED_SAMPLES", ROOT / ".." / "shared" / "data")).resolve()
SETS = {"tnbc": 0.25, "monuseg_eval": 0.25, "dsb2018_purple": 0.25}
"""Annotated sets and their nominal um/px."""
PICTURES = ROOT / "out" / "accuracy"
"""Not in the repository: the images are others'."""
HEADING = (
    "| set | images | cells | found | F1 | F1 at .7 | precision | recall | PQ | AJI | Dice |\n"
    "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
)


def evaluate(name: str, pictures: Path) -> dict[str, Any]:
    """The total of one set."""
    folder = SAMPLES / "annotated" / name
    program = "from raysched.cli.main import main; main()"
    command: list[object] = [sys.executable, "-c", program, "evaluate", "--engine", "classical"]
    command += ["--images", folder / "images", "--labels", folder / "labels", "--json"]
    command += ["--mpp", SETS[name], "--pictures", pictures]
    words = [str(each) for each in command]
    done = subprocess.run(words, capture_output=True, check=False, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        sys.exit(lines[-1]["error"]["message"] if lines else done.stderr)
    return next(line["total"] for line in lines if "total" in line)


def row(name: str, total: dict[str, Any]) -> str:
    rates = [total["f1"]["0.5"], total["f1"]["0.7"]]
    rates += [total[each] for each in ("precision", "recall", "pq", "aji", "dice")]
    cells = [f"`{name}`", f"{total['images']}", f"{total['annotated']:,}", f"{total['found']:,}"]
    return f"| {' | '.join([*cells, *(f'{each:.3f}' for each in rates)])} |"


def replace_table(path: Path, table: str) -> None:
    text = path.read_text()
    block = re.compile(r"(<!-- scripts/accuracy -->\n).*?(<!-- end -->)", re.DOTALL)
    if not block.search(text):
        sys.exit(f"{path} has no place for the table")
    path.write_text(block.sub(lambda found: f"{found[1]}{table}\n{found[2]}", text))


def main() -> None:
    rows, totals = [HEADING], {}
    shutil.rmtree(PICTURES, ignore_errors=True)
    for name in SETS:
        totals[name] = evaluate(name, PICTURES / name)
        rows.append(row(name, totals[name]))
    version = totals["tnbc"]["version"]
    table = "\n".join([*rows, "", f"Engine `classical`, version {version}, default parameters."])
    for name in ("README.md", "docs/accuracy.md"):
        replace_table(ROOT / name, table)
    print(table)


if __name__ == "__main__":
    main()
