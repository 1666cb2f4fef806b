"""Which source an output belongs to, over all jobs."""

from sqlalchemy import BigInteger, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class OutputClaim(Base):
    """One place in a destination, and the one source whose output may lie there.

    A row comes with a job's scans, in the same transaction, and outlives the job's rows, as the output does. Its key
    is what makes two jobs over different sources exclude each other, whichever process inserts them.
    """

    __tablename__ = "output_claim"
    # SQLite: the rows lie in the key's own tree, so that each is kept once.
    __table_args__ = ({"sqlite_with_rowid": False},)

    uri: Mapped[str] = mapped_column(Text, primary_key=True)  # the destination and the output's key in it
    source_hash: Mapped[int] = mapped_column(BigInteger)  # of the source and the scan's key in it: 64 bits of MD5
    job_id: Mapped[int] = mapped_column(BigInteger)  # that claimed it last; it need not be there any more
