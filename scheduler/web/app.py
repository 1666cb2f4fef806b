"""Builds the web application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from scheduler.web.api import api_router
from scheduler.web.api.problems import add_openapi
from scheduler.web.context import Context
from scheduler.web.metrics import WebMetrics
from scheduler.web.middleware import Guard
from scheduler.web.pages import page_router
from scheduler.web.problems import add_handlers
from scheduler.web.rendering import STATIC


def create_app(context: Context, metrics: WebMetrics) -> FastAPI:
    """The application with every route of pages and API. When it ends, the picture processes end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        context.pictures.stop()

    app = FastAPI(
        title="Photochrom",
        version=version("photochrom"),
        description="Jobs, scans, reviews and schedules of one Photochrom. docs/api.md has examples.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        lifespan=lifespan,
    )
    app.state.context = context
    add_handlers(app)
    add_openapi(app)
    app.include_router(api_router)
    app.include_router(page_router)
    app.mount("/static", _Static(directory=STATIC))
    app.add_middleware(Guard, web_url=context.settings.web_url, metrics=metrics)
    return app


class _Static(StaticFiles):
    """Files for browsers. They may be cached for long, because an address changes with its file's content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["cache-control"] = "public, max-age=31536000, immutable"
        return response
