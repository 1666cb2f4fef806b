"""A copy of the source keys of each chunk's scans, for searching a part of a key."""

from sqlalchemy import ForeignKey, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.models.base import Base


class ChunkKeys(Base):
    """All source keys of a chunk as one text, written when the chunk is listed and never changed.

    An index for parts of keys on the table scan would be written with every record of a scan. This index takes 7 bytes
    a scan in PostgreSQL, which compresses it, because the keys of a chunk are similar. A search reads one row for each
    chunk, not one for each scan: a million scans take 70 ms.
    """

    __tablename__ = "chunk_keys"

    chunk_id: Mapped[int] = mapped_column(ForeignKey("chunk.id", ondelete="CASCADE"), primary_key=True)
    keys: Mapped[str] = mapped_column(Text)  # a key a line
