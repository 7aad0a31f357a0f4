"""``raysched demo``: the main job on a real sample slide, with nothing to decide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raysched.cli.options import Common, Out
from raysched.cli.run import described, segment
from raysched.cli.session import settings
from raysched.cli.voice import Voice

DEMO_FOLDER = Path("out/demo")


@dataclass(frozen=True, kw_only=True)
class DemoOptions(Common):
    """The options of ``demo``."""

    out: Out = None


def demo(options: DemoOptions, voice: Voice) -> None:
    """Segment a sample slide, to see what comes out."""
    from raysched.cluster.submission import JobRequest
    from raysched.imaging.samples import sample_slide

    config = settings(options.address)
    out = options.out or unused(DEMO_FOLDER)
    sample = sample_slide(config.samples, config.cache)
    voice.note(f"sample: {sample.path} ({sample.source})")
    if sample.note:
        voice.note(sample.note)
    request = described(JobRequest, slide=str(sample.path), out=str(out))
    finished = segment(config, request, "demo", voice)
    if sample.truth is not None:
        known = sample.truth.nuclei
        voice.say(f"the synthetic slide has {known:,} nuclei; found: {finished.job.cells:,}")
    voice.say(f"look at {finished.out / 'preview.png'}")
    voice.say("the same in a browser, for many people: raysched up")


def unused(folder: Path) -> Path:
    """The folder, or a numbered one beside it when an earlier demo's results lie there."""
    number, free = 1, folder
    while (free / "manifest.json").exists():
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free
