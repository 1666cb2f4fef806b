"""A job's scans in files for other programs: CSV for spreadsheets, Parquet for DuckDB and pandas."""
