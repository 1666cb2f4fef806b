"""The image of this clone and those of the services that it needs, built once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker import BASE, IMAGE, ROOT, base_image, build, daemon, service_images

SECONDS = 2_400
LAYER = "layer"  # the property of a test in which it says a layer's size


@pytest.fixture(scope="session")
def _daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("docker")
    with daemon(folder):
        yield folder


@pytest.fixture(scope="session")
def image(_daemon: Path) -> str:
    """`photochrom:cpu`, as deploy/Dockerfile builds it."""
    base = base_image(_daemon)
    build(ROOT, ROOT / "deploy" / "Dockerfile", IMAGE, base, "--target", "cpu")
    return IMAGE


@pytest.fixture(scope="session")
def services(image: str, _daemon: Path) -> None:
    """The images of the other services."""
    service_images(_daemon, BASE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test that runs builds the images, which takes minutes on a machine that has none of their layers."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(SECONDS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the size of each layer of the image, also if all tests pass."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    layers = [
        value
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == LAYER and report.when == "call"
    ]
    if layers:
        terminalreporter.write_sep("=", "layers of the image")
    for layer in layers:
        terminalreporter.write_line(layer)
