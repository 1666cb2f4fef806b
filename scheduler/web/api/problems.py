"""The OpenAPI description of errors: problem details, which all have the same form."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from scheduler.web.api.schemas import Problem
from scheduler.web.problems import TITLES

_CONTENT = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The value for `responses` of a route."""
    return {status: {"description": TITLES[status], "content": _CONTENT} for status in statuses}


COMMON = problems(400, 401, 403, 404, 409, 413, 414, 415, 422, 429, 503)


def add_openapi(app: FastAPI) -> None:
    """Add the OpenAPI schema, with the form of problems and the way in which tokens are sent."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            openapi = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = openapi.setdefault("components", {})
            components.setdefault("schemas", {})["Problem"] = Problem.model_json_schema()
            components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
            openapi["security"] = [{"token": []}, {}]
            app.openapi_schema = openapi
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]
