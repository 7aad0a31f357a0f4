"""The one tree of errors, arranged by whose fault it is.

Every error that reaches a person says in one line what happened and in one line what to do.
Leaves carry a stable ``code`` (API), an HTTP ``status``, an ``exit_code`` (CLI) and their facts.
Nothing in raysched is imported here, so every layer may raise these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar


class RayschedError(Exception):
    """Root of all errors that raysched raises on purpose.

    Args:
        message: one line, what happened, naming the thing it happened to.
        remedy: one line, what the reader can do about it.
        facts: JSON-able values that programs may want (paths, ids, limits).
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.facts = facts

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by parts: Ray carries these between processes."""
        return _rebuild, (type(self), self.message, self.remedy, self.facts)


def _rebuild(
    kind: type[RayschedError], message: str, remedy: str, facts: dict[str, object]
) -> RayschedError:
    return kind(message, remedy=remedy, **facts)


# --- the request's fault: the same request will fail again -------------------------------------


class RequestError(RayschedError):
    """What was asked cannot be done as asked."""

    code = "bad_request"
    status = 400
    exit_code = 2


class InvalidWorkflow(RequestError):
    """A workflow is empty, cyclic, or names unknown or duplicate jobs."""

    code = "invalid_workflow"
    status = 422


class InvalidSetting(RequestError):
    """A setting or parameter has an unknown name or a value out of range."""

    code = "invalid_setting"
    status = 422


class NotFound(RequestError):
    """No such thing, or it belongs to another user: the two look the same."""

    code = "not_found"
    status = 404


class Unauthorized(RequestError):
    """It is not known who asks: no key, or one that opens nothing."""

    code = "unauthorized"
    status = 401


class Forbidden(RequestError):
    """It is known who asks, and they may not."""

    code = "forbidden"
    status = 403


class NotReady(RequestError):
    """The thing exists, but what was asked of it does not exist yet."""

    code = "not_ready"
    status = 409


class Conflict(RequestError):
    """The request contradicts what is already there (state, idempotency key)."""

    code = "conflict"
    status = 409


class DifferentSlides(RequestError):
    """Two results that are to be compared are of different slides."""

    code = "different_slides"
    status = 422


class LimitReached(RequestError):
    """A limit of the user's (open jobs, sizes) would be exceeded. Clients do not try again by
    themselves: where all that helps is a moment, raise ``Busy``."""

    code = "limit_reached"
    status = 429


class TooManyAtOnce(LimitReached):
    """As many requests of a user's are under way as may be: one more when one has ended."""

    code = "too_many_at_once"


class TooManyRequests(LimitReached):
    """A user asks faster than the limits let anybody. ``retry_after_s``: when to come again."""

    code = "too_many_requests"

    def __init__(self, message: str, *, remedy: str, retry_after_s: float, **facts: object) -> None:
        super().__init__(message, remedy=remedy, retry_after_s=retry_after_s, **facts)
        self.retry_after_s = retry_after_s


class QuotaFull(RequestError):
    """A user's storage has no room for it."""

    code = "quota_full"
    status = 413


class BadFileName(RequestError):
    """A name that is not that of one file on every system."""

    code = "bad_file_name"
    status = 422


class UploadBusy(RequestError):
    """Another request is writing to the upload, or too many are."""

    code = "upload_busy"
    status = 423


class PieceTooLarge(RequestError):
    """One request brings more of an upload than it may."""

    code = "piece_too_large"
    status = 413


class WrongProtocol(RequestError):
    """A request of another version of the upload protocol."""

    code = "wrong_protocol"
    status = 412


class WrongMediaType(RequestError):
    """The body is of a sort that this request does not take."""

    code = "wrong_media_type"
    status = 415


class ChecksumDiffers(RequestError):
    """A piece of an upload is not what its sender sent: nothing of it is kept."""

    code = "checksum_differs"
    status = 460  # as the upload protocol says


class OutputNotEmpty(RequestError):
    """The results folder exists and holds files already."""

    code = "output_not_empty"
    status = 409


class UnknownEngine(RequestError):
    """No engine of that name is installed."""

    code = "unknown_engine"
    status = 422


class SlideError(RequestError):
    """Something is wrong with the slide file itself."""

    code = "slide_error"
    status = 422


class SlideMissing(SlideError):
    """There is no file at that path."""

    code = "slide_missing"


class SlideForbidden(SlideError):
    """The file is there but may not be read."""

    code = "slide_forbidden"


class NotASlide(SlideError):
    """OpenSlide does not recognise the file as a slide."""

    code = "not_a_slide"


class SlideUnreadable(SlideError):
    """The file opens as a slide but its pixels cannot be read (truncated, damaged)."""

    code = "slide_unreadable"


class TooManyFailedTiles(SlideUnreadable):
    """More of a slide's tiles could not be read than its job allows."""

    code = "too_many_failed_tiles"


class UploadRefused(SlideError):
    """What was uploaded is no slide that is taken in."""

    code = "upload_refused"


class SlideChanged(SlideError):
    """The file is another than when it was planned."""

    code = "slide_changed"
    status = 409


class MppMissing(SlideError):
    """The pixel size is missing or implausible: a person must say it."""

    code = "needs_mpp"


class BadAnnotation(RequestError):
    """An annotated image or its labels are missing, unreadable, or do not fit each other."""

    code = "bad_annotation"
    status = 422


class EngineFailed(RequestError):
    """An engine raised or returned something of the wrong shape on a tile."""

    code = "engine_failed"
    status = 500
    exit_code = 3


# --- the cluster's fault: the same request may succeed later -----------------------------------


class ClusterError(RayschedError):
    """The cluster, its disks or its processes cannot serve the request now."""

    code = "cluster_error"
    status = 503
    exit_code = 4


class ClusterUnreachable(ClusterError):
    """No Ray cluster answers at the address."""

    code = "cluster_unreachable"


class ClusterRefused(ClusterUnreachable):
    """The Ray cluster at the address wants a token that this process has not."""

    code = "cluster_refused"


class OtherVersion(ClusterError):
    """The scheduler that runs is of another version."""

    code = "other_version"


class Busy(ClusterError):
    """All places are taken, by other users too. ``retry_after_s``: when to come again."""

    code = "busy"

    def __init__(
        self, message: str, *, remedy: str, retry_after_s: float = 5.0, **facts: object
    ) -> None:
        super().__init__(message, remedy=remedy, retry_after_s=retry_after_s, **facts)
        self.retry_after_s = retry_after_s


class Draining(ClusterError):
    """The operator lets no new work in: what was taken in runs to its end."""

    code = "draining"


class StateLocked(ClusterError):
    """Another live process holds the state folder."""

    code = "state_locked"


class StorageFull(ClusterError):
    """The disk that should take results or state has no room left."""

    code = "storage_full"
    status = 507


class StorageFailed(ClusterError):
    """A results or state folder cannot be written or read."""

    code = "storage_failed"


class ChunksMissing(StorageFailed):
    """Finished chunks are gone or damaged. ``cells`` and ``tiles_failed``: of the valid ones."""

    code = "chunks_missing"

    def __init__(
        self, message: str, *, remedy: str, chunks: tuple[int, ...], cells: int, tiles_failed: int
    ) -> None:
        super().__init__(
            message, remedy=remedy, chunks=chunks, cells=cells, tiles_failed=tiles_failed
        )
        self.chunks = chunks
        self.cells = cells
        self.tiles_failed = tiles_failed


class WorkHung(ClusterError):
    """Work took longer than it may, and was ended."""

    code = "work_hung"


class WorkTooLarge(ClusterError):
    """Work made its process hold more memory than it may, and was ended."""

    code = "work_too_large"


# --- our fault -----------------------------------------------------------------------------------


class InternalError(RayschedError):
    """A promise of ours does not hold."""

    code = "internal"
    status = 500
    exit_code = 70


class IllegalMove(InternalError):
    """The transition table has no such edge; nothing was changed."""

    code = "illegal_move"


class JournalDamaged(InternalError):
    """The journal cannot be read as it was written."""

    code = "journal_damaged"


class JournalTooNew(InternalError):
    """The journal was written by a newer raysched."""

    code = "journal_too_new"


def error_of(code: str, message: str, remedy: str, **facts: object) -> RayschedError | None:
    """The error of a code that came from elsewhere; None where no error has that code.

    A kind that needs facts which did not come along comes as what it is a kind of.
    """
    kind = next((kind for kind in _kinds(RayschedError) if kind.code == code), None)
    while kind is not None:
        try:
            return kind(message, remedy=remedy, **facts)
        except TypeError:
            kind = kind.__base__
    return None


def _kinds(root: type[RayschedError]) -> Iterator[type[RayschedError]]:
    yield root
    for child in root.__subclasses__():
        yield from _kinds(child)


def faults_in_words(faults: Iterable[Mapping[str, Any]]) -> str:
    """What pydantic's ``ValidationError.errors()`` lists, as one line: ``field: what is wrong``."""
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)
