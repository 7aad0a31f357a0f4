"""The description of the API as it is served: what FastAPI knows, and what follows from the table.

Which errors an operation may answer follows from its row: a role means 401 and 403, a name in the
path 404, a body 413, and so on. What a row cannot tell is in ``ALSO``. Examples are put together by
``serve_app.examples``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serve_app.examples import example_of
from serve_app.identity import COOKIE
from serve_app.models import Problem
from serve_app.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from serve_app.routes import Route

METHODS = ("get", "head", "post", "put", "patch", "delete", "options")
SECURITY = {
    "key": {"type": "http", "scheme": "bearer", "description": "A key: rsk_ID_SECRET."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "Set by logging in; changes also need the header X-CSRF-Token.",
    },
}
TAGS = {
    "workflows": "A workflow is what you submit at once: jobs on slides, in order within a branch.",
    "jobs": "A job is one long-running work on one slide.",
    "results": "What a job has made: its files, exchange formats, a report, differences.",
    "reviews": "A random sample of a result, judged yes or no by you: how right is it?",
    "slides": "Whole-slide images: sent by you, or files of the server that you registered.",
    "uploads": "Slides that are arriving, by the protocol tus 1.0: any client of it will do.",
    "views": "Slides and cells to look at: tiles of deep zoom, pictures, what a click has hit.",
    "engines": "What finds cells.",
    "sessions": "Logging in, for browsers. Programs send their key with each request.",
    "me": "Who you are, and your own keys.",
    "users": "Everybody's accounts and keys. For administrators.",
    "events": "What changes, as it changes.",
    "cluster": "The whole cluster. For administrators.",
    "service": "Whether the service is well.",
    "ui": "The web UI: one page, and its files.",
}
PARAMETERS = {
    "workflow": "Id of a workflow of yours: `wf-...`.",
    "job": "Id of a job of yours: `job-...`.",
    "other": "Id of the job that it is compared with.",
    "path": "A file of the results, as their list names it.",
    "slide": "Id of a slide of yours: `sl-...`.",
    "upload": "Id of an upload of yours; the slide's later on.",
    "folder": "Number of the slide folder to look into.",
    "Upload-Length": "Bytes in all.",
    "Upload-Offset": "Where the piece begins: bytes that have arrived.",
    "Upload-Checksum": "`sha256` or `sha1`, and the piece's digest in base64.",
    "Tus-Resumable": "Version of the protocol: 1.0.0.",
    "user": "Id of a user.",
    "name": "One of the web UI's files.",
    "key": "Id of a key or session: its public part.",
    "token": "The token of a one-time link.",
    "state": "Only jobs in this state.",
    "limit": "How many a page may hold.",
    "cursor": "`next` of the page before, as it is.",
    "level": "From which level on.",
    "format": "How it is answered.",
    "all": "Also what Ray itself counts.",
    "branch": "Only jobs of this branch.",
    "kind": "Only jobs of this kind.",
    "z": "Level of the tile: 0 is the coarsest.",
    "x": "Column of the tile.",
    "y": "Row of the tile.",
    "cell": "Id of a cell, as the overlay has it.",
}
"""Parameters whose handlers say no more of them than their name."""
ERRORS = {
    400: ("bad_request", "The request cannot be understood."),
    401: ("unauthorized", "No key came along, or one that opens nothing."),
    403: ("forbidden", "The key may not do this."),
    404: ("not_found", "There is no such thing, or it is another user's: the two look the same."),
    409: ("conflict", "It contradicts what is there: a state, a name, an idempotency key."),
    408: ("request_timeout", "The body did not come in time."),
    412: ("wrong_protocol", "The upload protocol is another version than 1.0.0."),
    413: ("body_too_large", "The body is larger than this route takes."),
    415: ("wrong_media_type", "The body is of a type that this route does not take."),
    416: ("range_not_satisfiable", "The file has no such range."),
    422: ("invalid_request", "What was sent is well-formed and not valid; `faults` may say where."),
    423: ("upload_busy", "Another request is writing to the upload."),
    429: ("limit_reached", "More than one user may have or ask for; `Retry-After` says when."),
    460: ("checksum_differs", "A piece is not what its sender sent: nothing of it is kept."),
    500: ("internal", "The service failed. Its operator's log has the cause."),
    503: ("cluster_unreachable", "The scheduler does not answer just now. Ask again in a moment."),
    507: ("storage_full", "The disk that should take this has no room."),
}
HEADERS = {
    401: ("WWW-Authenticate", "How to prove who you are.", "string"),
    429: ("Retry-After", "Seconds to wait.", "integer"),
    503: ("Retry-After", "Seconds to wait.", "integer"),
}
ALSO: Mapping[str, tuple[int, ...]] = {
    "create_workflow": (404, 409),  # a slide that is not there, a key that was used
    "create_user": (409,),
    "estimate_workflow": (404,),
    "get_usage": (404,),  # a user that is not there
    "register_slide": (404, 409),
    "add_sample_slide": (413, 422, 429),  # no room in the quota; the operator's is another file
    "create_upload": (412, 413, 422),
    "head_upload": (412,),
    "send_piece": (400, 412, 415, 423, 460),
    "delete_upload": (412,),
    "list_slide_folders": (404,),
    "get_slide_file": (409, 416, 422),
    "get_thumbnail": (409, 422),
    "get_result": (416,),
    "get_results_zip": (416,),
    "log_in": (401,),
    "follow_login_link": (401,),
    "get_diff": (409, 422),
    "get_diff_page": (409, 422),
    **dict.fromkeys(
        (
            *("get_slide_view", "get_slide_tile", "get_job_view", "get_job_tile"),
            *("get_overlay_tile", "get_cell_at", "get_cell", "get_picture"),
        ),
        (409, 422),  # a slide that is being checked, results that are just gone; a damaged slide
    ),
    "get_chunks": (409,),
    "get_tissue": (409,),
    "drain_cluster_node": (409, 422),  # several go by that name; it is no name
    "resume_cluster_node": (409, 422),
    "get_measures": (409,),
    "get_measure_pair": (409, 422),
    "preview_slide_tissue": (409, 422),
}
"""What a row of the table cannot tell."""
NEEDS_RESULTS = ("/jobs/{job}/results", "/jobs/{job}/export", "/jobs/{job}/report")
"""Asked before there are any: 409."""


def describe(app: FastAPI, routes: Iterable[Route]) -> dict[str, Any]:
    """The OpenAPI schema of an application that serves these routes."""
    schema = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    parts = schema.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    for name in [each for each in schemas if schemas[each].get("type") == "object"]:
        if name != "Problem":
            schemas[name]["examples"] = [example_of(name, schemas)]
    parts["securitySchemes"] = SECURITY
    parts["responses"] = {str(status): _problem(status) for status in ERRORS}
    schema["security"] = [{name: []} for name in SECURITY]
    rows = {route.handler.__name__: route for route in routes}
    used: set[str] = set()
    for operation in operations(schema):
        _complete(operation, rows[operation["operationId"]])
        used.update(operation["tags"])
    schema["tags"] = [
        {"name": name, "description": text} for name, text in TAGS.items() if name in used
    ]
    return schema


def operations(schema: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All operations of a schema."""
    for path in schema["paths"].values():
        yield from (path[method] for method in METHODS if method in path)


def errors_of(route: Route) -> set[int]:
    """The statuses of the errors that a route may answer."""
    found = {500, *ALSO.get(route.handler.__name__, ())}
    changes = route.method not in {"GET", "HEAD", "OPTIONS"}
    if route.handler.__name__ != "healthz":
        found.add(503)
    if route.role is not None:
        found |= {401, 403, 429}
    if "{" in route.path:
        found |= {404, 409} if changes or route.path.startswith(NEEDS_RESULTS) else {404}
    if changes:
        found.add(507)
    return found


def _complete(operation: dict[str, Any], route: Route) -> None:
    operation["summary"] = route.handler.__name__.replace("_", " ").capitalize()
    errors = errors_of(route)
    if "requestBody" in operation:
        errors |= {408, 413, 422}
    parameters = operation.get("parameters", [])
    if any(each["in"] != "path" for each in parameters):
        errors.add(422)
    for each in parameters:
        if not each.get("description") and each["name"] in PARAMETERS:
            each["description"] = PARAMETERS[each["name"]]
    answers = operation["responses"]
    answers.pop("default", None)
    for status in sorted(errors):
        answers.setdefault(str(status), {"$ref": f"#/components/responses/{status}"})
    for status, answer in answers.items():
        if not answer.get("description") and "$ref" not in answer:
            answer["description"] = f"Answered with {status}."


def _problem(status: int) -> dict[str, Any]:
    code, text = ERRORS[status]
    example = Problem(
        type=f"urn:raysched:error:{code}",
        title=code.replace("_", " ").capitalize(),
        status=status,
        detail=text,
        code=code,
        remedy="One line that says what to do.",
    )
    reference = {"$ref": "#/components/schemas/Problem"}
    content = {MEDIA_TYPE: {"schema": reference, "example": example.model_dump()}}
    answer: dict[str, Any] = {"description": text, "content": content}
    if status in HEADERS:
        name, meaning, kind = HEADERS[status]
        answer["headers"] = {name: {"description": meaning, "schema": {"type": kind}}}
    return answer
