"""A real browser for tests: Chromium from the machine's packages, driven by Playwright."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.programs import CHROMIUM

PHONE, DESKTOP = (360, 740), (1280, 860)


@contextmanager
def running(path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Chromium's sandbox does not work as root or in containers. The pages are our own, so no sandbox is needed.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()


def screenshot(report: Path, picture: Path) -> None:
    """Save to `picture` how a report looks on a desktop and on a phone, side by side."""
    path = CHROMIUM.path()
    assert path, CHROMIUM.absence
    shots = []
    with running(path) as browser:
        for number, (width, height) in enumerate((DESKTOP, PHONE)):
            page = browser.new_page(viewport={"width": width, "height": height * 3}, device_scale_factor=1)
            page.goto(report.as_uri())
            shot = picture.with_suffix(f".{number}.png")
            page.screenshot(path=shot)
            shots.append(Image.open(shot).convert("RGB"))
            shot.unlink()
    gap = 24
    sheet = Image.new("RGB", (sum(shot.width for shot in shots) + 3 * gap, shots[0].height + 2 * gap), "#d8d2c6")
    sheet.paste(shots[0], (gap, gap))
    sheet.paste(shots[1], (2 * gap + shots[0].width, gap))
    sheet.resize((sheet.width * 2 // 3, sheet.height * 2 // 3), Image.Resampling.LANCZOS).save(picture, quality=82)
