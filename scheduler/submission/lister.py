"""The scans of a submission, page by page: listed from the source or read from a manifest, and filtered."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import islice

from db.queries.jobs.lifecycle import NewScan
from scheduler.submission.bag_keys import PAYLOAD, check_key
from scheduler.submission.existing_outputs import LOOKUPS_AT_ONCE, Sorted, as_archived, look_up
from scheduler.submission.key_spool import KeySpool
from scheduler.submission.manifest import Entry, is_inventory, matches, read_manifest
from scheduler.submission.request import Submission, Submitted
from worker.errors import UsageError
from worker.scans import is_scan_key, output_format, output_key
from worker.storage import Omission, S3Options, Storage
from worker.storage.leftovers import is_leftover
from worker.storage.spellings import spellings

PAGE_SCANS = 4_096  # inserted at a time; a whole number of default chunks
_SHOW_ENTRIES = 1_000
_NAMED = 5  # at most this many keys that can't be listed are named

# Sorts a page of scans into those that must be coloured and others.
Sort = Callable[[list[NewScan]], Sorted]


class Lister:
    """Lists scans, and counts in `submitted` what it yields and what it leaves out.

    `progress` is called every 1 000 entries.
    """

    def __init__(
        self,
        request: Submission,
        source: Storage,
        submitted: Submitted,
        *,
        s3: S3Options,
        sort: Sort,
        progress: Callable[[Submitted], None],
    ) -> None:
        self._request, self._source, self._submitted = request, source, submitted
        self._s3, self._sort, self._progress = s3, sort, progress
        # Everything up to this key is listed; "" if a listing can't be continued in its middle.
        self.position = ""

    @property
    def goes_on(self) -> bool:
        """Whether a later listing can begin after `position`."""
        return self._request.manifest is None and self._source.lists_in_order

    def pages(self, after: str = "") -> Iterator[list[NewScan]]:
        """The pages of scans after the key `after`. Raises UsageError, ServiceUnavailable."""
        page: list[NewScan] = []
        for number, entry in enumerate(self._entries(after), 1):
            if number % _SHOW_ENTRIES == 0:
                self._progress(self._submitted)
            if self._is_wanted(entry):
                scan = NewScan(entry.key, entry.etag, entry.bytes, self._output_key(entry))
                page.append(as_archived(scan) if entry.is_archived else scan)
            self.position = entry.key if self.goes_on else ""
            if len(page) == PAGE_SCANS:
                yield self._counted(page)
                page = []
        if page:
            yield self._counted(page)

    def _entries(self, after: str) -> Iterator[Entry]:
        if self._request.manifest is not None:
            entries = read_manifest(self._request.manifest, self._source.uri, self._s3)
            # An inventory has the keys as the bucket has them.
            is_exact = is_inventory(self._request.manifest)
            yield from entries if is_exact else as_stored(entries, self._source, self._request.manifest)
            return
        for entry in self._source.list(after=after, left_out=self._note_omission):
            yield Entry(entry.key, entry.etag, entry.bytes, is_archived=entry.is_archived)

    def _note_omission(self, omission: Omission) -> None:
        """Count a leftover of another program; name a key that should have been listed."""
        if not omission.reason:
            self._submitted.leftovers += 1
            return
        self._submitted.unlisted_count += 1
        if len(self._submitted.unlisted) < _NAMED:
            self._submitted.unlisted.append(f"{omission.name} ({omission.reason})")

    def _is_wanted(self, entry: Entry) -> bool:
        if "\0" in entry.key:
            raise UsageError(f"{self._source.uri} holds the key {entry.key!r}, which no database can store; rename it")
        if self._request.manifest is not None and is_leftover(entry.key):  # a listing of the source leaves them out
            self._submitted.leftovers += 1
            return False
        if not is_scan_key(entry.key):
            self._submitted.note_other(entry.key)
            return False
        is_selected = matches(entry.key, self._request.include, self._request.exclude)
        self._submitted.unwanted += not is_selected
        return is_selected

    def _output_key(self, entry: Entry) -> str:
        """The output's key: in the submission's output folder, if it has one, and in data/ if the destination
        is a bag.
        """
        key = _output_key(entry, self._request.format)
        if self._request.output_prefix is not None:
            key = f"{self._request.output_prefix}/{key}"
        if not self._request.bag:
            return key
        check_key(key)
        return PAYLOAD + key

    def _counted(self, page: list[NewScan]) -> list[NewScan]:
        page_sorted = self._sort(page)
        self._submitted.present += page_sorted.present
        self._submitted.underway += page_sorted.underway
        self._submitted.accepted += page_sorted.accepted
        self._submitted.damaged += page_sorted.damaged
        self._submitted.archived_before += page_sorted.archived
        self._submitted.replaced += page_sorted.replaced
        self._submitted.scans += len(page_sorted.missing)
        self._submitted.bytes += sum(scan.source_bytes or 0 for scan in page_sorted.missing)
        for scan in page_sorted.missing:
            self._submitted.note_scan(scan.source_key)
        archived = [scan for scan in page_sorted.missing if scan.error_code is not None]
        self._submitted.archived += len(archived)
        self._submitted.archived_bytes += sum(scan.source_bytes or 0 for scan in archived)
        self._progress(self._submitted)
        return page_sorted.missing


def as_stored(entries: Iterable[Entry], source: Storage, manifest: str) -> Iterator[Entry]:
    """The manifest's entries, with their keys as the source spells them; those that it does not have stay as they are.

    Only keys with several Unicode forms are looked up. Raises UsageError if two entries are the same scan in two forms;
    ServiceUnavailable.
    """
    entries = iter(entries)
    with closing(KeySpool()) as seen, ThreadPoolExecutor(LOOKUPS_AT_ONCE) as pool:
        while page := list(islice(entries, PAGE_SCANS)):
            is_plain = all(entry.key.isascii() for entry in page)
            for entry in page if is_plain else pool.map(lambda entry: _spelled(entry, source), page):
                if not entry.key.isascii():
                    _expect_once(seen, entry, manifest)
                yield entry


def _spelled(entry: Entry, source: Storage) -> Entry:
    forms = spellings(entry.key) if is_scan_key(entry.key) else []
    if len(forms) < 2:
        return entry
    for key in forms:
        if stored := look_up(source, key):
            is_archived = entry.is_archived or stored.is_archived
            return replace(entry, key=key, etag=entry.etag or stored.etag, bytes=stored.bytes, is_archived=is_archived)
    return entry


def _expect_once(seen: KeySpool, entry: Entry, manifest: str) -> None:
    first = seen.add_new(f"{entry.key}\0{entry.output or ''}", entry.line)
    if first is not None:
        raise UsageError(
            f"the manifest {manifest}, line {entry.line}: {entry.key!r} is listed twice, first on line {first}, where "
            "its accents are coded in another way; remove one of the two"
        )


def _output_key(entry: Entry, format: str) -> str:
    """The output key in the manifest, or one made from the scan's key.

    Raises UsageError if the manifest's key does not fit the format.
    """
    default_key = output_key(entry.key, format)
    if entry.output is None:
        return default_key
    if not is_scan_key(entry.output) or output_format(entry.output, "source") != output_format(default_key, "source"):
        raise UsageError(
            f"the manifest's output {entry.output!r} for {entry.key!r} does not end like {default_key!r}; "
            "correct it, or choose its format with --format"
        )
    return entry.output
