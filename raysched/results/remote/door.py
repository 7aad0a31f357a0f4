"""Publication in a store that renames nothing: one object that says which result a job has.

What ``results/fencing.py`` does by renaming is done here by replacing ``results/{job}/result.json``
only if it still is as it was read. It says which complete result there is, which run of publish has
it in its hands, and whether it is published. Who comes second, or was cut off and comes late, finds
it changed and changes nothing. Readers look at it first: so a result is there whole, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, ValidationError

from raysched.errors import StorageFailed
from raysched.results.remote.bucket import Bucket
from raysched.results.storage import unique

TRIES = 20
"""Nobody else changes it for long: a few at most, and each of them once."""


class Standing(BaseModel):
    """What has become of a job's result. ``folder``: the complete result's, below the job's, made
    of the plan ``fingerprint`` with so many failed tiles (``holes``); ``run``: in whose hands it
    is; ``mark``: of this change alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    fingerprint: str
    holes: int = 0
    run: str = ""
    published: bool = False
    mark: str


class Door:
    """The one object of one job. Methods raise ``StorageFailed``."""

    def __init__(self, bucket: Bucket, job: str) -> None:
        self._bucket = bucket
        self._folder = f"results/{job}"
        self._key = f"{self._folder}/result.json"

    def standing(self) -> Standing | None:
        """None before there is a complete result."""
        found = self._read()
        return None if found is None else found[0]

    def is_published(self) -> bool:
        """Whether there is a result for readers."""
        stands = self.standing()
        return stands is not None and stands.published

    def settle(self, folder: str, fingerprint: str, holes: int) -> Standing:
        """There is a complete result; it takes the place of one that nobody has and that is not
        published, unless that is of the same plan and as good. Returns what stands now."""

        def settled(now: Standing | None) -> Standing | None:
            if now is not None and (now.published or now.run):
                return None  # whoever assembled this is late: its job has gone on
            if now is not None and now.fingerprint == fingerprint and now.holes <= holes:
                return None  # a twin was faster, or has read since what failed here
            return Standing(folder=folder, fingerprint=fingerprint, holes=holes, mark=unique())

        stands = self._change(settled)
        assert stands is not None, "something stands, or was settled"
        return stands

    def hand_over(self, run: str) -> None:
        """Let one run of publish have what there is; where nothing is, or it is published, nothing
        is done, and the run says so."""
        self._change(
            lambda now: (
                None
                if now is None or now.published
                else now.model_copy(update={"run": run, "mark": unique()})
            )
        )

    def take_back(self) -> None:
        """Have no run publish any more. What is published stays so."""
        self._change(
            lambda now: (
                None
                if now is None or now.published or not now.run
                else now.model_copy(update={"run": "", "mark": unique()})
            )
        )

    def publish(self, run: str) -> Standing:
        """Publish what was handed over to ``run``; "" takes it as it is, where nobody else can be
        at work on the job. Raises ``StorageFailed`` where it was taken back."""
        stands = self._change(
            lambda now: (
                now.model_copy(update={"published": True, "run": "", "mark": unique()})
                if now is not None and not now.published and now.run == run
                else None
            )
        )
        if stands is None or not stands.published:
            raise StorageFailed(
                f"There is no complete result in {self._folder} of the object store for this run.",
                remedy="Retry the job: finished chunks are kept.",
            )
        return stands

    def _change(self, changed: Callable[[Standing | None], Standing | None]) -> Standing | None:
        """Change it to what ``changed`` makes of it; None leaves it. Returns what stands."""
        for _ in range(TRIES):
            found = self._read()
            now, known = found if found is not None else (None, None)
            wanted = changed(now)
            if wanted is None:
                return now
            if self._bucket.replace(self._key, wanted.model_dump_json().encode(), known):
                return wanted
        raise StorageFailed(
            f"{self._key} in the object store is changed by somebody else all the time.",
            remedy="See whether another raysched uses the same storage.url, then retry.",
        )

    def _read(self) -> tuple[Standing, str] | None:
        found = self._bucket.read_marked(self._key)
        if found is None:
            return None
        try:
            return Standing.model_validate_json(found[0]), found[1]
        except ValidationError as error:
            raise StorageFailed(
                f"{self._key} in the object store is not as raysched writes it.",
                remedy="Remove it if the job has no result yet, then retry the job.",
            ) from error
