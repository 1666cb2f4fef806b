"""The pages for a browser. Forms make changes, and work without scripts too."""

from fastapi import APIRouter, Depends

from scheduler.web.auth.csrf import expect_token
from scheduler.web.pages import (
    job,
    jobs,
    pictures,
    pool,
    review,
    sample,
    scan,
    schedules,
    search,
    sign_in,
    submit,
    verdicts,
)

page_router = APIRouter(include_in_schema=False, dependencies=[Depends(expect_token)])
for module in (sign_in, submit, jobs, job, sample, scan, search, verdicts, review, pictures, schedules, pool):
    page_router.include_router(module.router)
