"""Workers and schedulers that are running or ran recently."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Integer,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base, UtcDateTime


class Worker(Base):
    """A running or former worker: what it runs, and its latest heartbeat."""

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    children: Mapped[int] = mapped_column(Integer)
    device: Mapped[str | None] = mapped_column(Text)
    checkpoint: Mapped[str | None] = mapped_column(String(64))
    revision: Mapped[str | None] = mapped_column(String(32))  # the schema's, of its code; NULL if it is before 0020
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[datetime] = mapped_column(UtcDateTime)
    stopped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Since its start: scans recorded as done, failed or skipped, and those of them that failed.
    ended_scans: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    failed_scans: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    # The minute before heartbeat_at; NULL if there was nothing to measure.
    device_busy_share: Mapped[float | None]  # of the time, 0..1
    batch_fill: Mapped[float | None]  # share of the places in device batches that held a scan, 0..1
    model_queue_length: Mapped[int | None] = mapped_column(Integer)  # scans that wait for their batch at heartbeat_at
    scans_per_second: Mapped[float | None]
    megapixels_per_second: Mapped[float | None]  # of the scans done, at their full size
    fetch_ms: Mapped[float | None]  # this and the following: means over the scans that are done
    open_ms: Mapped[float | None]
    wait_ms: Mapped[float | None]
    predict_ms: Mapped[float | None]
    compose_ms: Mapped[float | None]
    store_ms: Mapped[float | None]


class Scheduler(Base):
    """A running or former scheduler, and its latest heartbeat."""

    __tablename__ = "scheduler"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    heartbeat_at: Mapped[datetime] = mapped_column(UtcDateTime)
    stopped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
