"""The HTTP API under /api/v1.

It gives the same values as `--json`, and calls the same functions as the command line.
"""

from fastapi import APIRouter

from scheduler.web.api import jobs, pool, scans, schedules
from scheduler.web.api.problems import COMMON

api_router = APIRouter(prefix="/api/v1", responses=COMMON)
for module in (jobs, scans, schedules, pool):
    api_router.include_router(module.router)
