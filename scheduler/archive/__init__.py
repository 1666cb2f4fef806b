"""Old jobs: their rows written to Parquet beside their report, and deleted from the database."""
