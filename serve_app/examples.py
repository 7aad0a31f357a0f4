"""An example of everything that the API takes and answers, put together field by field.

``VALUES`` has a value for each name of a field (``Model.field`` where that is not enough); objects
and lists follow from their schemas. So an example has every field that its model has, and a new
field needs a line here only where its type does not say what a reader wants to see.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JOB, OTHER, WORKFLOW = "job-k3v5q2nrt4-1", "job-k3v5q2nrt4-2", "wf-k3v5q2nrt4"
SLIDE, SECRET = "sl-0193b0c2f1a5d0e9c4b7a6", "rsk_5f0c9a1be2d7_" + "0123456789abcdef" * 4
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
TIMES = {"date-time": "2026-03-14T09:26:53Z", "date": "2026-03-14"}
ENDS = {
    "results_deleted_at",
    "paused_at",
    "draining_at",
    "ended_at",
    "disabled_at",
    "deleted_at",
    "revoked_at",
}
"""Of what goes on in the examples: null."""
UNKNOWN = "..."

VALUES: Mapping[str, Any] = {
    # jobs and workflows
    "Job.id": JOB, "Workflow.id": WORKFLOW, "job": JOB, "workflow": WORKFLOW,
    "branch": "main", "kind": "cell_segmentation", "slide": "biopsy-12.svs",
    "Job.slide_id": SLIDE, "state": "segmenting", "stage": "segment", "attempt": 1,
    "reason": "computing", "sentence": "computing: 96 of 240 tiles are done",
    "position": None, "eta_s": 84.0, "tiles_done": 96, "tiles_total": 240, "tiles_failed": 0,
    "chunks_done": 24, "chunks_total": 60, "cells": 48210, "tiles_per_s": 1.7,
    "checksum": None, "question": None, "failure": None, "reused": False, "awaits": None,
    "mpp": 0.2498, "tile_px": 1024, "chunk_tiles": 4, "max_failed_share": 0.1,
    "Job.params": {"min_area_um2": 20},
    "Workflow.name": "biopsy 12", "WorkflowInShort.id": WORKFLOW,
    "WorkflowInShort.name": "biopsy 12", "open": True, "states": {"segmenting": 1},
    "engine": "classical",
    "HttpSubmission.name": "biopsy 12", "HttpJob.name": "he", "HttpJob.slide": SLIDE,
    "HttpJob.params": {"min_area_um2": 20}, "HttpJob.sweep": {}, "HttpJob.depends_on": [],
    "HttpJob.tissue": None, "HttpJob.measure": None, "HttpJob.mpp": None,
    "code": "engine_failed", "message": "The engine classical failed on a tile: out of range.",
    "remedy": "Choose other parameters, then retry the job.",
    # results
    "ResultFile.path": "cells/part-0.parquet", "size_bytes": 18_874_368,
    "ResultFile.media_type": "application/vnd.apache.parquet",
    "ResultFile.href": f"/api/v1/jobs/{JOB}/results/cells/part-0.parquet",
    "ResultExport.format": "geojson", "ResultExport.name": f"{JOB}.geojson",
    "ResultExport.media_type": "application/geo+json", "exact": False, "complete": True,
    "ResultExport.href": f"/api/v1/jobs/{JOB}/export?format=geojson",
    "ResultZip.href": f"/api/v1/jobs/{JOB}/results.zip",
    "ComparedResult.job": JOB, "ComparedResult.checksum": DIGEST, "slide_sha256": DIGEST,
    "matched": 47011, "lost": 1199, "gained": 873, "f1": {"0.5": 0.978, "0.7": 0.941},
    "jaccard": 0.958, "mean_iou": 0.912,
    "changes": {"area_um2": {"unit": "um2", "cells": 47011, "median": 0.2, "p05": -3.1,
                             "p95": 3.9}},
    "unit": "um2", "setting": "params.min_area_um2", "first": 10, "second": 20,
    "Diff.first": {"job": JOB, "cells": 48210, "checksum": DIGEST},
    "Diff.second": {"job": OTHER, "cells": 47884, "checksum": DIGEST},
    # logs, usage, the cluster, dry runs
    "level": "info", "LogLine.source": "engine", "logger": "raysched.engines.classical",
    "LogLine.message": "tile 12 has no tissue that is stained", "chunk": 3, "run": "4-118",
    "JobLog.next": "eyJzZXEiOjQyfQ", "JobLog.complete": False,
    "day": "2026-03-14", "UsageReport.since": "2026-03-01", "UsageReport.until": "2026-03-31",
    "submitted": 12, "begun": 11, "succeeded": 10, "failed": 1, "cancelled": 0, "skipped": 1,
    "retries": 1, "UsageDay.reused": 2, "tiles": 240, "runs": 74, "runs_failed": 1,
    "runs_lost": 0, "lane_s": 412.5, "plan_s": 2.1, "segment_s": 396.2, "assemble_s": 11.4,
    "publish_s": 2.8,
    "wait_median_s": 4.2, "wait_p90_s": 31.0, "wait_max_s": 48.5,
    "Node.id": "7b1c9e0f", "node": "7b1c9e0f", "host": "node-1", "is_alive": True,
    "holds_state": True, "is_draining": False, "cpus": 16.0, "gpus": 0.0,
    "memory_bytes": 68_719_476_736,
    "NodeLanes.node": {"id": "7b1c9e0f", "host": "node-1", "is_alive": True,
                       "holds_state": False, "is_draining": True, "cpus": 16.0, "gpus": 0.0,
                       "memory_bytes": 68_719_476_736},
    "Lane.id": "lane-1", "expected_s": 5.2, "Branch.head": JOB, "share": 0.5, "share_used": 0.5,
    "queue_rank": None, "EstimatedJob.number": 1, "chunks": 60,
    "tissue_mm2": 84.2, "EstimatedJob.question": None,
    "working_mpp": 0.4996, "was_seen": True, "backlog_s": 0.0, "starts_in_s": 3.0,
    "ends_in_s": 110.0, "lanes_open": 4, "result_bytes": 94_371_840,
    "result_bytes_from": "measured: your newest results",
    # chunks, tissue, measurements, reviews
    "JobChunk.chunk": 3, "JobChunk.tiles": [17, 18, 19, 20], "JobChunk.state": "done",
    "JobChunk.cells": 814, "JobChunk.failed": [], "tile": 17,
    "FailedTile.reason": "The tile cannot be read.", "columns": 12, "rows": 8,
    "tile_width": 2048.0, "Chunks.chunks": [
        {"chunk": 3, "state": "done", "tiles": [17, 18, 19, 20], "cells": 814, "failed": []}
    ],
    "SlideTissue.question": None, "fraction": 0.31, "SlideTissue.width": 1536,
    "SlideTissue.height": 1024, "l0_per_px": 64.0, "png": "data:image/png;base64,iVBORw0KGgo=",
    "warnings": ["The tissue is in 412 pieces, as dust or noise is."],
    "MeasureSummary.name": "area_um2", "MeasureSpan.name": "area_um2",
    "MeasureSummary.description": "pixels of the mask times the pixel's area",
    "MeasureSummary.counts": [0, 3, 12, 5], "MeasurePair.counts": [[0, 3], [12, 5]], "bins": 2,
    "ReviewItem.verdict": "yes", "ReviewItem.cell": 1042, "ReviewItem.tile": None,
    "VerdictGiven.verdict": "yes", "JobReview.checksum": DIGEST, "note": None,
    "method": "Wilson 95 %", "engine_version": "3", "seed": 7, "accuracy": 0.94,
    # engines
    "Engine.name": "classical", "version": "3", "package": "raysched", "target_mpp": 0.5,
    "halo_um": 32.0, "UnusableEngine.name": "instanseg",
    "UnusableEngine.why": "It does not work here; `raysched engines` on the server says why.",
    "parameters": {"type": "object", "properties": {"min_area_um2": {"type": "number"}}},
    # slides and uploads
    "Slide.id": SLIDE, "Slide.name": "biopsy-12.svs", "Slide.state": "ready", "Slide.why": None,
    "source": "upload", "sha256": DIGEST, "vendor": "aperio", "width": 98_304, "height": 65_536,
    "downsample": 1.0, "mpp_source": "vendor", "SlideChange.name": "biopsy-12-he.svs",
    "ServerSlide.path": "2026/biopsy-12.svs", "SlideFolder.name": "slides",
    "FolderEntry.name": "biopsy-12.svs", "FolderEntry.path": "2026/biopsy-12.svs",
    "folder": 0, "Upload.id": SLIDE, "Upload.name": "biopsy-12.svs", "offset": 8_388_608,
    # views
    "SlideView.tile_px": 256, "overlap": 1, "OverlayView.tile_px": 512, "SlideView.levels": 10,
    "OverlayView.levels": 10, "OverlayView.l0_per_px": 0.5, "low": 12.5,
    "CellsView.slide": {"name": "biopsy-12.svs", "width": 98_304, "height": 65_536, "mpp": 0.2498,
                        "mpp_source": "vendor", "tile_px": 256, "overlap": 1, "levels": 10,
                        "href": f"/api/v1/jobs/{JOB}/tiles/{{z}}/{{x}}/{{y}}"},
    "SlideView.name": "biopsy-12.svs",
    "SlideView.href": f"/api/v1/slides/{SLIDE}/tiles/{{z}}/{{x}}/{{y}}",
    "OverlayView.href": f"/api/v1/jobs/{JOB}/overlay/{{z}}/{{x}}/{{y}}",
    "TissueView.href": f"/api/v1/jobs/{JOB}/tissue", "CellsView.version": "3f2a90b1-24",
    "MeasureRange.name": "area_um2", "high": 96.5, "Cell.id": 5, "provisional": False,
    "Cell.x": 948.6, "Cell.y": 184.6, "outline": [[944.0, 180.0], [952.0, 180.0], [948.0, 190.0],
                                                    [944.0, 180.0]],
    "CellMeasure.name": "area_um2", "value": 30.1,
    # users and keys
    "User.id": "ann", "User.name": "Ann Smith", "NewUser.id": "ann", "NewUser.name": "Ann Smith",
    "UserChange.name": "Ann Smith", "UserChange.disabled": False, "role": "user", "weight": 1.0,
    "max_jobs": 50, "max_bytes": 0, "jobs_open": 3, "User.keys": 2,
    "Key.id": "5f0c9a1be2d7", "Key.kind": "api", "Key.name": "laptop", "KeyAsked.name": "laptop",
    "KeyAsked.days": 90, "NewKey.id": "5f0c9a1be2d7", "user": "ann", "NewKey.key": SECRET,
    "LoginAsked.key": SECRET, "Me.id": "ann", "Me.name": "Ann Smith", "key": "5f0c9a1be2d7",
    "acts_for": "ann", "csrf": None, "LoggedIn.id": "ann", "LoggedIn.csrf": DIGEST,
    "used_bytes": 1_288_490_188,
    # the service
    "Info.version": "0.1.0", "dashboard_url": "http://127.0.0.1:8265", "piece_bytes": 8_388_608,
    "SharingLimits.max_running_jobs": 4, "max_active_users": 3, "max_jobs_per_user": 50,
    "max_jobs_per_workflow": 10_000, "slot_tenure_s": 600.0,
    "mine": False, "SlotHolder.user": None, "SlotWaiter.user": None, "rank": 1,
    "SlotHolder.mine": True, "SlotHolder.lanes": 2, "slots": 3, "slots_held": 3,
    "chunk_median_s": 5.1, "chunk_p90_s": 7.9, "ClusterMinute.lanes_busy": 0.87,
    "requests": 214, "request_median_ms": 6.2, "request_p95_ms": 38.0,
    "status": "ok", "Ready.version": "0.1.0", "ready": True, "lanes_busy": 3,
    "lanes_wanted": 4, "lanes_room": 4,
    "Ready.lanes": 4, "Estimate.lanes": 2.0, "BusyUser.lanes": 2,
    "next": None, "Stopping.jobs": 3,
}  # fmt: skip


def example_of(name: str, schemas: Mapping[str, Any]) -> Any:
    """An example of a named schema; ``UNKNOWN`` stands where a text has no value."""
    return _example(schemas[name], name, "", schemas)


def _example(schema: Mapping[str, Any], model: str, field: str, schemas: Mapping[str, Any]) -> Any:
    chosen = VALUES.get(f"{model}.{field}", VALUES.get(field, ...))
    if chosen is not ... and field:
        return chosen
    if "$ref" in schema:
        named = schema["$ref"].rpartition("/")[2]
        return _example(schemas[named], named, "", schemas)
    if "anyOf" in schema:  # a value that may be null
        return None if field in ENDS else _example(schema["anyOf"][0], model, field, schemas)
    if "enum" in schema or "const" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if schema.get("type") == "object":
        properties: Mapping[str, Any] = schema.get("properties", {})
        return {each: _example(of, model, each, schemas) for each, of in properties.items()}
    if schema.get("type") == "array":
        return [_example(schema["items"], model, "", schemas)]
    return _plain(schema)


def _plain(schema: Mapping[str, Any]) -> Any:
    if "default" in schema:
        return schema["default"]
    if schema.get("format") in TIMES:
        return TIMES[schema["format"]]
    kinds = {"integer": 1, "number": 1.0, "boolean": False}
    if schema.get("type") in kinds:
        return kinds[schema["type"]]
    return UNKNOWN
