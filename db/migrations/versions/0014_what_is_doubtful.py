"""The certainty below which a checkpoint's outputs are doubtful; a view of scans unlike their folder; keys sorted by
their bytes.

The views are dropped and made again, because a column that a view reads can't get another collation, and SQLite can't
change a view.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_CHANGED = ("job_failures", "scan_history", "review_queue")


def upgrade() -> None:
    op.add_column("scan", sa.Column("doubtful_below", sa.Double(), nullable=True))
    for name in _CHANGED:
        op.execute(f"DROP VIEW {name}")
    if op.get_bind().dialect.name != "sqlite":
        # The sort order of a language mixes keys of different folders, so a folder would not be a range of keys.
        for column in ("source_key", "output_key"):
            op.execute(f'ALTER TABLE scan ALTER COLUMN {column} TYPE text COLLATE "C"')
    for name, query in _VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


_VIEWS = {
    "job_failures": """
        SELECT job.id AS job_id, job.name AS job_name, scan.error_code, count(*) AS scans,
               min(scan.source_key) AS example_key, min(scan.error_message) AS example_message,
               min(scan.finished_at) AS first_at, max(scan.finished_at) AS last_at
        FROM scan JOIN job ON job.id = scan.job_id
        WHERE scan.state = 'failed'
        GROUP BY job.id, job.name, scan.error_code
    """,
    "scan_history": """
        SELECT scan.id AS scan_id, scan.source_key, scan.output_key, scan.state, scan.error_code,
               scan.error_message, job.id AS job_id, job.name AS job_name, job.source, job.destination,
               job.created_at AS submitted_at, scan.finished_at, scan.attempts, scan.worker, scan.checkpoint,
               scan.source_etag, scan.source_bytes, scan.source_sha256, scan.output_bytes, scan.output_sha256,
               scan.width, scan.height, scan.bit_depth, scan.pages, scan.lost_metadata,
               (coalesce(fetch_ms, 0) + coalesce(open_ms, 0) + coalesce(wait_ms, 0) + coalesce(predict_ms, 0)
                + coalesce(compose_ms, 0) + coalesce(store_ms, 0)) / 1000 AS seconds,
               scan.colourfulness, scan.certainty, scan.clipped_share,
               review.verdict, review.reviewed_by, review.reviewed_at,
               scan.head, scan.embedding, scan.saturation, scan.precision, scan.input_px, scan.doubtful_below
        FROM scan
        JOIN job ON job.id = scan.job_id
        LEFT JOIN review ON review.id = (SELECT max(latest.id) FROM review AS latest
                                         WHERE latest.scan_id = scan.id)
    """,
    "review_queue": """
        SELECT id AS scan_id, job_id, source_key, output_key,
               rtrim(CASE WHEN certainty < coalesce(doubtful_below, 0.3) THEN 'uncertain, ' ELSE '' END
                     || CASE WHEN colourfulness < 15 THEN 'nearly grey, ' ELSE '' END
                     || CASE WHEN clipped_share > 0.25 AND picture_width IS NULL THEN 'clipped, ' ELSE '' END
                     || CASE WHEN width > 3 * height OR height > 3 * width OR width < 200 OR height < 200
                             THEN 'odd shape, ' ELSE '' END, ', ') AS reasons,
               review_weight AS weight, certainty, colourfulness, clipped_share, width, height, checkpoint
        FROM scan
        WHERE review_weight IS NOT NULL
    """,
    # The same rule as in scheduler/report/outliers.py: at least 8 scans, 3.5 robust standard deviations, and a
    # deviation of at least 2. Each median is the mean of the one or two middle values.
    "folder_outliers": """
        WITH measured AS (
            SELECT id, job_id, rtrim(source_key, replace(source_key, '/', '')) AS folder, colourfulness
            FROM scan WHERE state = 'done' AND colourfulness IS NOT NULL
        ), ranked AS (
            SELECT measured.*, count(*) OVER folders AS scans,
                   row_number() OVER (PARTITION BY job_id, folder ORDER BY colourfulness) AS place
            FROM measured WINDOW folders AS (PARTITION BY job_id, folder)
        ), centred AS (
            SELECT ranked.*,
                   avg(CASE WHEN place IN ((scans + 1) / 2, (scans + 2) / 2) THEN colourfulness END)
                   OVER (PARTITION BY job_id, folder) AS median
            FROM ranked WHERE scans >= 8
        ), apart AS (
            SELECT centred.*,
                   row_number() OVER (PARTITION BY job_id, folder ORDER BY abs(colourfulness - median)) AS apart_place
            FROM centred
        ), spread AS (
            SELECT apart.*,
                   1.4826 * avg(CASE WHEN apart_place IN ((scans + 1) / 2, (scans + 2) / 2)
                                     THEN abs(colourfulness - median) END)
                   OVER (PARTITION BY job_id, folder) AS deviation
            FROM apart
        ), judged AS (
            SELECT spread.*,
                   (colourfulness - median) / CASE WHEN deviation > 2.0 THEN deviation ELSE 2.0 END AS distance
            FROM spread
        )
        SELECT judged.job_id, judged.folder, judged.scans, scan.id AS scan_id, scan.source_key, scan.output_key,
               judged.colourfulness, judged.median AS folder_colourfulness, judged.distance, scan.certainty,
               scan.width, scan.height, scan.verdict
        FROM judged JOIN scan ON scan.id = judged.id
        WHERE abs(judged.distance) > 3.5
    """,
}
