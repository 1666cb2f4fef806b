"""`python -m tests.bench.web_picture FILE`: the demo's pages, on a desktop and a phone, in one picture for README."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser
from tenacity import retry, retry_if_result, stop_after_delay, wait_fixed

from tests import browser as browsers
from tests.programs import CHROMIUM

PAPER, GAP = "#d8d2c6", 24
PAGES = (("/jobs/1", browsers.DESKTOP), ("/jobs/1/review", browsers.DESKTOP), ("/jobs/1/review", browsers.PHONE))


@retry(retry=retry_if_result(lambda state: state != "completed"), wait=wait_fixed(1), stop=stop_after_delay(900))
def state_of_the_job(address: str) -> str:
    try:
        return str(httpx.get(f"{address}/api/v1/jobs/1").json().get("state"))
    except httpx.HTTPError:
        return "not there yet"


def shots(browser: Browser, address: str, folder: Path) -> list[Image.Image]:
    taken = []
    for number, (path, (width, height)) in enumerate(PAGES):
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(address + path)
        page.wait_for_load_state("networkidle")
        shot = folder / f"{number}.png"
        page.screenshot(path=shot)
        taken.append(Image.open(shot).convert("RGB"))
    return taken


def sheet(taken: list[Image.Image]) -> Image.Image:
    """The pictures side by side, aligned at the top."""
    width = sum(shot.width for shot in taken) + GAP * (len(taken) + 1)
    made = Image.new("RGB", (width, max(shot.height for shot in taken) + 2 * GAP), PAPER)
    left = GAP
    for shot in taken:
        made.paste(shot, (left, GAP))
        left += shot.width + GAP
    return made.resize((made.width * 3 // 5, made.height * 3 // 5), Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.web_picture", description=__doc__)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    path = CHROMIUM.path()
    assert path, CHROMIUM.absence
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-m", "scheduler", "demo", "--web", "--folder", f"{folder}/demo"]
        demo = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert demo.stdout is not None
        lines = iter(demo.stdout.readline, "")
        address = next(found[1] for line in lines if (found := re.search(r"Pages: (\S+)", line)))
        try:
            state_of_the_job(address)
            with browsers.running(path) as browser:
                sheet(shots(browser, address, Path(folder))).save(arguments.picture, quality=84)
        finally:
            demo.terminate()
            demo.communicate()


if __name__ == "__main__":
    main()
