"""One scan, top to bottom: fetch, open, prepare, predict, compose, store."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from db.queries.scans.records import ScanMeasurements
from worker.errors import ScanError
from worker.inference.client import Prediction
from worker.inference.colour_options import ColourOptions
from worker.model.checkpoint import Card
from worker.observability.stages import Stage
from worker.pipeline.byte_budget import ByteBudget
from worker.pipeline.measurements import add_up, no_span, timed
from worker.scans import (
    ModelInput,
    OpenScan,
    OutputOptions,
    ScanFile,
    ScanHeader,
    ScanLimits,
    compose,
    content_type,
    open_scan_file,
    probe_pages,
)
from worker.scans.metadata.credentials import Credentials
from worker.scans.metadata.provenance import Provenance
from worker.scans.reading.colour_detection import COLOURED_SHARE, OwnColours, find_own_colours
from worker.scans.reading.panorama import ModelInputs
from worker.scans.reading.probe import STRIP_BYTES
from worker.scans.reading.scan import marks_bytes
from worker.scans.writing.multi_page import PageWriter
from worker.storage import Storage, Transfer

_SQUARES_AT_ONCE = 8  # model inputs of one scan at the model server
_PAGES_AT_ONCE, _BYTES_AT_ONCE = 8, 128 << 20  # pages and decoded bytes; a larger page is worked on alone


@dataclass(frozen=True, slots=True)
class Assignment:
    """One scan to colourize: its source, its ETag and size in the listing, and the place of its output."""

    source_key: str
    source_etag: str | None
    output_key: str
    output: OutputOptions
    digital_source_type: str  # IPTC's term for such outputs
    made_at: datetime  # written into the output: the job's time, so that a second attempt gives the same bytes
    skip_colour: bool = True  # skip a scan that is in colour already
    colours: ColourOptions = ColourOptions()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a scan's file.

    `marks`: the page has coloured marks, which its output keeps. `loss`: what it loses of its own colours, in words.
    """

    file: ScanFile
    header: ScanHeader
    marks: OwnColours | None = None
    loss: str | None = None

    @property
    def decoded_bytes(self) -> int:
        """The memory that the page takes from opening until its output is written, in bytes."""
        return self.header.decoded_bytes + (marks_bytes(self.header) if self.marks else 0)


def bytes_of_group(group: Sequence[Page]) -> int:
    """The memory, in bytes, of pages that are held at the same time.

    Each page's own figure includes memory for strips. Only one page is worked on at a time, so this part counts once.
    """
    return sum(page.decoded_bytes - STRIP_BYTES for page in group) + STRIP_BYTES


def page_groups(pages: Sequence[Page]) -> Iterator[list[Page]]:
    """Groups of consecutive pages that are small enough to be in memory together."""
    group: list[Page] = []
    for page in pages:
        if group and (len(group) == _PAGES_AT_ONCE or bytes_of_group([*group, page]) > _BYTES_AT_ONCE):
            yield group
            group = []
        group.append(page)
    if group:
        yield group


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What all scans of one job share."""

    source: Storage
    destination: Storage
    predict: Callable[[NDArray[np.float32], ColourOptions], Prediction]  # lightness (400, 400), 0..100 -> a, b
    limits: ScanLimits
    budget: ByteBudget
    scratch_folder: Path
    find_borders: bool = True  # show the model only the picture, and leave film borders neutral
    still_held: Callable[[], bool] = lambda: True  # whether no other worker can have begun the scan
    # Called in the scan's thread when the store refused the worker's credentials. It waits, and returns whether to try
    # again.
    wait_to_store: Callable[[], bool] = lambda: False
    credentials: Credentials | None = None  # for signing the outputs
    card: Card | None = None  # the checkpoint's, for signing; None for the stand-in model
    span: Callable[[str], AbstractContextManager[object]] = no_span  # traces a block under a name

    def colorize_scan(self, scan: Assignment, measurements: ScanMeasurements) -> None:
        """Colourize one scan and store its output; fills `measurements` on the way. Raises ScanError."""
        scratch = tempfile.TemporaryDirectory(prefix="photochrom-scan-", dir=self.scratch_folder)
        with self.span("scan"), scratch as folder:
            source, output = Path(folder, "source"), Path(folder, "output")
            self._fetch(scan, source, measurements)
            file = open_scan_file(source, scan.source_key, self.limits)
            headers = self._probe(file, measurements)
            colours = self._refuse_colour(file, headers) if scan.skip_colour else {}
            pages = tuple(_page(file, header, colours.get(header.page, OwnColours())) for header in headers)
            if len(pages) == 1:
                self._colorize_page(scan, pages[0], output, measurements)
            else:
                self._colorize_pages(scan, pages, output, measurements)
            if self.credentials is not None:
                self._sign(scan, self.credentials, source, headers[0].format, output, measurements)
            self._store(scan, output, measurements)

    def _colorize_pages(
        self, scan: Assignment, pages: tuple[Page, ...], output: Path, measurements: ScanMeasurements
    ) -> None:
        """Colour all pages into one TIFF. The row has the picture of the first page, and the mean of all colours."""
        if scan.output.format != "tiff":
            sentence = f"{scan.source_key} has {len(pages)} pages, which a {scan.output.format.upper()} can't hold"
            raise ScanError("unsupported", f"{sentence}; expected --format tiff", permanent=True)
        writer, all_measurements = PageWriter(scan.source_key, output, [page.header for page in pages]), []
        as_page = replace(scan, output=replace(scan.output, is_page=True))
        for group in page_groups(pages):
            all_measurements += self._colorize_group(as_page, group, writer, output.with_name("page"), measurements)
        add_up(measurements, all_measurements)

    def _colorize_group(
        self, scan: Assignment, group: Sequence[Page], writer: PageWriter, part: Path, measurements: ScanMeasurements
    ) -> list[ScanMeasurements]:
        """Colour pages that are predicted together, in one device batch, and composed one after the other."""
        all_measurements = [ScanMeasurements(source_sha256=measurements.source_sha256) for _ in group]
        with self.budget.holding(bytes_of_group(group)):
            opened = [self._open(page, of_page) for page, of_page in zip(group, all_measurements, strict=True)]
            with ThreadPoolExecutor(len(group)) as threads:
                futures = [
                    threads.submit(copy_context().run, self._predict_all, scan, inputs, of_page)
                    for (_, inputs), of_page in zip(opened, all_measurements, strict=True)
                ]
            for (page, inputs), future, of_page in zip(opened, futures, all_measurements, strict=True):
                model_input, ab = inputs.joined(future.result())
                self._compose(page, model_input, ab, scan, part, of_page)
                page.discard()
                writer.add(part)
        return all_measurements

    def _colorize_page(self, scan: Assignment, page: Page, output: Path, measurements: ScanMeasurements) -> None:
        with self.budget.holding(page.decoded_bytes):
            opened, inputs = self._open(page, measurements)
            model_input, ab = inputs.joined(self._predict_all(scan, inputs, measurements))
            self._compose(opened, model_input, ab, scan, output, measurements)
            opened.discard()

    def _refuse_colour(self, file: ScanFile, headers: tuple[ScanHeader, ...]) -> dict[int, OwnColours]:
        """Raises ScanError if a page is in colour.

        Returns the own colours of the grey pages, by page.
        """
        own_colours: dict[int, OwnColours] = {}
        for number, header in enumerate(headers, 1):
            with self.budget.holding(header.decoded_bytes):
                colours = find_own_colours(file, header.page)
            if colours.share >= COLOURED_SHARE:
                name = file.key if len(headers) == 1 else f"page {number} of {file.key}"
                share = f"{colours.share:.0%} of it"
                message = f"{name} is in colour already, {share}; expected grey, or --colour-scans colourize"
                raise ScanError("already_colour", message, permanent=True)
            own_colours[header.page] = colours
        return own_colours

    def _fetch(self, scan: Assignment, path: Path, measurements: ScanMeasurements) -> None:
        with self.span(Stage.FETCH), timed(measurements, Stage.FETCH):
            got = self.source.fetch(scan.source_key, path, etag=scan.source_etag, max_bytes=self.limits.max_bytes)
        measurements.source_bytes, measurements.source_sha256 = got.bytes, got.sha256

    def _probe(self, file: ScanFile, measurements: ScanMeasurements) -> tuple[ScanHeader, ...]:
        headers = probe_pages(file, self.limits)
        first = headers[0]
        measurements.width, measurements.height, measurements.bit_depth = first.width, first.height, first.bit_depth
        measurements.pages = len(headers)
        return headers

    def _open(self, page: Page, measurements: ScanMeasurements) -> tuple[OpenScan, ModelInputs]:
        with self.span(Stage.OPEN), timed(measurements, Stage.OPEN):
            opened = OpenScan(page.file, page.header)
            if page.marks is not None:
                opened.keep_marks(page.marks)
            if page.loss is not None:
                opened.lost.append(page.loss)
            picture = opened.find_picture() if self.find_borders else None
            if picture:
                measurements.picture_left, measurements.picture_top = picture.left, picture.top
                measurements.picture_width, measurements.picture_height = picture.width, picture.height
            return opened, opened.model_inputs(picture=picture)

    def _predict_all(
        self, scan: Assignment, inputs: ModelInputs, measurements: ScanMeasurements
    ) -> list[NDArray[np.float32]]:
        """a*, b* of each model input. Times are added up; the certainty is the mean."""
        predictions = self._predict_at_once(scan, inputs.squares, measurements)
        measurements.wait_ms = sum(prediction.wait_ms for prediction in predictions)
        measurements.predict_ms = sum(prediction.predict_ms for prediction in predictions)
        certainties = [prediction.certainty for prediction in predictions if prediction.certainty is not None]
        measurements.certainty = fmean(certainties) if certainties else None
        return [prediction.ab for prediction in predictions]

    def _predict_at_once(
        self, scan: Assignment, squares: Sequence[ModelInput], measurements: ScanMeasurements
    ) -> Sequence[Prediction]:
        """Predict model inputs together, so that those of a panorama share a device batch."""
        if len(squares) == 1:
            return [self._predict(scan, squares[0], measurements)]
        with ThreadPoolExecutor(min(_SQUARES_AT_ONCE, len(squares))) as threads:
            futures = [
                # It runs in this thread's context, because log lines and spans take their ids from there.
                threads.submit(copy_context().run, self._predict, scan, model_input, measurements)
                for model_input in squares
            ]
            return [future.result() for future in futures]

    def _predict(self, scan: Assignment, model_input: ModelInput, measurements: ScanMeasurements) -> Prediction:
        with self.span(Stage.PREDICT):
            prediction = self.predict(model_input.lightness, scan.colours)
        measurements.wait_ms, measurements.predict_ms = prediction.wait_ms, prediction.predict_ms
        measurements.checkpoint, measurements.certainty = prediction.checkpoint_id, prediction.certainty
        measurements.head, measurements.embedding = prediction.head, prediction.embedding
        measurements.precision, measurements.input_px = prediction.precision, prediction.input_px
        measurements.doubtful_below = prediction.doubtful_below
        measurements.saturation = scan.colours.saturation
        if scan.colours.saturation == 1.0:
            return prediction
        return replace(prediction, ab=prediction.ab * np.float32(scan.colours.saturation))

    def _compose(
        self,
        opened: OpenScan,
        model_input: ModelInput,
        ab: NDArray[np.float32],
        scan: Assignment,
        path: Path,
        measurements: ScanMeasurements,
    ) -> None:
        provenance = _provenance(scan, measurements)
        with self.span(Stage.COMPOSE), timed(measurements, Stage.COMPOSE):
            composed = compose(opened, model_input, ab, scan.output, path, provenance)
        measurements.colourfulness, measurements.clipped_share = composed.colourfulness, composed.clipped_share
        measurements.mean_a, measurements.mean_b = composed.mean_ab
        measurements.software = provenance.software
        measurements.lost_metadata = "; ".join(composed.lost) or None

    def _sign(
        self,
        scan: Assignment,
        credentials: Credentials,
        source: Path,
        format: str,
        output: Path,
        measurements: ScanMeasurements,
    ) -> None:
        """Sign the output. This comes last, because a signature covers every byte.

        If it is not signed, or the scan's own credentials are lost, lost_metadata says so.
        """
        size = output.stat().st_size
        lost = credentials.refuses(scan.output.format, size)
        if lost is None:
            with self.span("sign"), timed(measurements, Stage.COMPOSE), self.budget.holding(2 * size):
                provenance = _with_model(_provenance(scan, measurements), self.card)
                lost = credentials.sign(output, scan.output.format, source, format, provenance)
        measurements.lost_metadata = "; ".join(filter(None, [measurements.lost_metadata, lost])) or None

    def _store(self, scan: Assignment, path: Path, measurements: ScanMeasurements) -> None:
        def expect_lease() -> None:
            if not self.still_held():
                # Another worker may have stored its output there by now, and recorded its hash in the row.
                message = f"{scan.source_key} was not stored: the lease on it ended first"
                raise ScanError("lease_ended", message, permanent=False)

        with self.span(Stage.STORE), timed(measurements, Stage.STORE):
            stored = self._stored(scan, path, expect_lease)
        measurements.output_bytes, measurements.output_sha256 = stored.bytes, stored.sha256

    def _stored(self, scan: Assignment, path: Path, before_commit: Callable[[], None]) -> Transfer:
        media_type = content_type(scan.output_key)
        while True:
            try:
                return self.destination.store(
                    path, scan.output_key, content_type=media_type, before_commit=before_commit
                )
            except ScanError as error:
                # The output is finished, so it is kept until the store takes it.
                if error.code != "credentials" or not self.wait_to_store():
                    raise


def _page(file: ScanFile, header: ScanHeader, colours: OwnColours) -> Page:
    return Page(file, header, colours if colours.has_marks else None, colours.loss)


@cache
def _software() -> str:
    # Reading it from the installation's files takes a third of a millisecond.
    return f"Photochrom {version('photochrom')}"


def _provenance(scan: Assignment, measurements: ScanMeasurements) -> Provenance:
    return Provenance(
        software=_software(),
        checkpoint=measurements.checkpoint or "",
        source_key=scan.source_key,
        source_sha256=measurements.source_sha256 or "",
        made_at=scan.made_at,
        source_type=scan.digital_source_type,
        head=measurements.head,
        embedding=measurements.embedding,
        saturation=scan.colours.saturation,
        precision=measurements.precision,
        input_px=measurements.input_px,
    )


def _with_model(provenance: Provenance, card: Card | None) -> Provenance:
    """The provenance with the model's name and full hash, if the card is that of the checkpoint that predicted."""
    if card is None or provenance.checkpoint.partition("-")[0] != card.id:
        return provenance
    return replace(provenance, model=card.name, checkpoint_sha256=card.sha256)
