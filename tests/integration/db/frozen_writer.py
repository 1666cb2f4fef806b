"""A child that is frozen while it records its scans: at the moment when the driver converts the last row."""

import os
import signal
import sys
from datetime import datetime

import psycopg
from psycopg.types.datetime import DatetimeDumper

import db.session
from db.queries.chunks import claims
from db.queries.chunks.claims import ChunkMessage
from db.queries.scans import leases
from db.queries.scans.records import ScanMeasurements, ScanRecord
from tests.rows import NOON

SCAN_COUNT = 8


class Moment(datetime):
    """The time when a scan ended, in a type of its own, so that the driver converts it with `Freezing`."""


class Freezing(DatetimeDumper):
    left = SCAN_COUNT

    def dump(self, moment: datetime) -> bytes | bytearray | memoryview | None:
        Freezing.left -= 1
        if not Freezing.left:
            os.kill(os.getpid(), signal.SIGSTOP)
        return super().dump(moment)


def main(url: str, message: ChunkMessage, idle_seconds: int) -> None:
    db.session.IDLE_WRITE_SECONDS = idle_seconds
    psycopg.adapters.register_dumper(Moment, Freezing)
    engine = db.session.make_engine(url)
    with db.session.read_scope(engine) as session:
        scan_ids = [scan.id for scan in claims.pending_scans(session, message.chunk_id)]
    # The driver sends a value that all scans share only once, so each scan ends at a different moment.
    ends = [Moment.fromtimestamp(NOON.timestamp() + number, NOON.tzinfo) for number in range(len(scan_ids))]
    records = [
        ScanRecord(scan_id, "failed", 1, ScanMeasurements(), "w", end, "truncated", "it ends")
        for scan_id, end in zip(scan_ids, ends, strict=True)
    ]
    with db.session.session_scope(engine) as session:
        leases.record(session, message, records, lease_seconds=60, now=NOON)


if __name__ == "__main__":
    main(sys.argv[1], ChunkMessage(int(sys.argv[2]), int(sys.argv[3])), int(sys.argv[4]))
