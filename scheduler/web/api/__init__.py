"""The HTTP API under /api/v1: the same values as `--json`, the same functions as the command line."""

from fastapi import APIRouter

api_router = APIRouter(prefix="/api/v1")
