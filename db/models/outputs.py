"""The source that each output belongs to, over all jobs."""

from sqlalchemy import BigInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class OutputClaim(Base):
    """One place in a destination, and the only source whose output may be stored there.

    A row is inserted with a job's scans, in the same transaction. It stays when the job's rows are deleted, because the
    output stays too. The primary key ensures that two jobs of different sources can't claim the same place.
    """

    __tablename__ = "output_claim"
    # SQLite stores the rows in the tree of the primary key, so each key is stored only once.
    __table_args__ = ({"sqlite_with_rowid": False},)

    uri: Mapped[str] = mapped_column(Text, primary_key=True)  # the destination and the output's key in it
    source_hash: Mapped[int] = mapped_column(BigInteger)  # of the source and the scan's key in it: 64 bits of MD5
    job_id: Mapped[int] = mapped_column(BigInteger)  # the job that claimed it last; it may have been deleted
