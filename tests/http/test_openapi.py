"""The description of the API: complete, valid, and true to what is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from raysched.cluster.gateway import Gateway
from raysched.config import load_config
from serve_app import (
    account_models,
    chunk_models,
    estimate_models,
    log_models,
    measure_models,
    models,
    node_models,
    queue_models,
    report_models,
    review_models,
    slide_models,
    view_models,
)
from serve_app.examples import UNKNOWN
from serve_app.openapi import ERRORS, MEDIA_TYPE, errors_of, operations
from serve_app.routes import AT_THE_ROOT, ROUTES
from serve_app.web import create_app

# Ray Serve's own models, on import
pytestmark = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")

MODULES = (
    *(models, account_models, slide_models, log_models, report_models, estimate_models),
    *(chunk_models, measure_models, review_models, view_models, queue_models, node_models),
)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    described = create_app(load_config(), Gateway("nowhere", patience_s=0)).openapi()
    return dict(json.loads(json.dumps(described)))  # as it is served


def test_the_schema_is_valid_openapi(schema: dict[str, Any]) -> None:
    assert schema["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(schema).validate()


def test_every_operation_says_what_it_does_and_takes(schema: dict[str, Any]) -> None:
    silent = []
    for operation in operations(schema):
        name = operation["operationId"]
        silent += [name for part in ("summary", "description") if not operation.get(part)]
        silent += [
            f"{name}: {each['name']}"
            for each in operation.get("parameters", [])
            if not each.get("description")
        ]
    assert silent == []


def test_every_tag_is_described(schema: dict[str, Any]) -> None:
    used = {tag for operation in operations(schema) for tag in operation["tags"]}
    assert {tag["name"] for tag in schema["tags"] if tag["description"]} == used


def test_every_body_and_answer_in_json_has_an_example(schema: dict[str, Any]) -> None:
    without = []
    for operation in operations(schema):
        parts = [operation.get("requestBody", {}), *operation["responses"].values()]
        for part in parts:
            content = part.get("content", {}).get("application/json")
            if content is None or content["schema"].get("format") == "binary":
                continue
            of = content["schema"].get("anyOf", [content["schema"]])[0]  # one that may be null
            named = of.get("$ref", "").rpartition("/")[2]
            if not schema["components"]["schemas"].get(named, {}).get("examples"):
                without.append(operation["operationId"])
    assert without == []


def test_every_example_is_one(schema: dict[str, Any]) -> None:
    kinds = {
        name: kind
        for module in MODULES
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, BaseModel)
    }
    checked = 0
    for name, described in schema["components"]["schemas"].items():
        for example in described.get("examples", []):
            whole = {"$ref": f"#/components/schemas/{name}", "components": schema["components"]}
            Draft202012Validator(whole).validate(example)
            assert f'"{UNKNOWN}"' not in json.dumps(example), name
            if name in kinds:
                kinds[name].model_validate(example)
                checked += 1
    assert checked > 30


def test_every_error_of_an_operation_is_a_described_problem(schema: dict[str, Any]) -> None:
    rows = {route.handler.__name__: route for route in (*ROUTES, *AT_THE_ROOT)}
    for operation in operations(schema):
        answers = operation["responses"]
        assert "default" not in answers
        assert all(answer.get("description") or "$ref" in answer for answer in answers.values())
        errors = {int(status) for status in answers if int(status) >= 400}
        assert errors >= errors_of(rows[operation["operationId"]])
    for status in ERRORS:
        content = schema["components"]["responses"][str(status)]["content"][MEDIA_TYPE]
        assert content["example"]["status"] == status


@pytest.mark.parametrize(
    ("name", "errors"),
    [
        ("healthz", {500}),
        ("list_engines", {401, 403, 429, 500, 503}),
        ("get_job", {401, 403, 404, 429, 500, 503}),
        ("create_workflow", {401, 403, 404, 408, 409, 413, 422, 429, 500, 503, 507}),
        ("get_report", {401, 403, 404, 409, 429, 500, 503}),
    ],
)
def test_errors_follow_from_the_table(name: str, errors: set[int], schema: dict[str, Any]) -> None:
    (operation,) = (each for each in operations(schema) if each["operationId"] == name)
    assert {int(status) for status in operation["responses"] if int(status) >= 400} == errors
