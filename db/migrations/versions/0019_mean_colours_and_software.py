"""The mean colour of each output, by which folder_outliers also finds another hue of equal colourfulness; the software
that made it.

Scans that were done before have neither. The view compares them by their colourfulness alone.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    for name in ("mean_a", "mean_b"):
        op.add_column("scan", sa.Column(name, sa.Double(), nullable=True))
    op.add_column("scan", sa.Column("software", sa.Text(), nullable=True))
    # PostgreSQL keeps views that depend on these, and grants on them, because columns are only added at their ends.
    # SQLite has neither such dependences nor grants.
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    for name, query in _VIEWS.items():
        if not on_postgresql:
            op.execute(f"DROP VIEW {name}")
        op.execute(f"CREATE{' OR REPLACE' if on_postgresql else ''} VIEW {name} AS {query}")


_VIEWS = {
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
               scan.head, scan.embedding, scan.saturation, scan.precision, scan.input_px, scan.doubtful_below,
               scan.mean_a, scan.mean_b, scan.software
        FROM scan
        JOIN job ON job.id = scan.job_id
        LEFT JOIN review ON review.id = (SELECT max(latest.id) FROM review AS latest
                                         WHERE latest.scan_id = scan.id)
    """,
    # The same rules as in scheduler/report/outliers.py: at least 8 scans, and 3.5 robust standard deviations; the
    # deviation is at least 2 for colourfulness, and 1.5 in the plane of a* and b*. Each median is the mean of the one
    # or two middle values.
    "folder_outliers": """
        WITH measured AS (
            SELECT id, job_id, rtrim(source_key, replace(source_key, '/', '')) AS folder, colourfulness, mean_a, mean_b
            FROM scan WHERE state = 'done' AND colourfulness IS NOT NULL
        ), ranked AS (
            SELECT measured.*, count(*) OVER folders AS scans, count(mean_a) OVER folders AS hued,
                   row_number() OVER (PARTITION BY job_id, folder ORDER BY colourfulness) AS place,
                   row_number() OVER (PARTITION BY job_id, folder ORDER BY mean_a NULLS LAST) AS a_place,
                   row_number() OVER (PARTITION BY job_id, folder ORDER BY mean_b NULLS LAST) AS b_place
            FROM measured WINDOW folders AS (PARTITION BY job_id, folder)
        ), centred AS (
            SELECT ranked.*,
                   avg(CASE WHEN place IN ((scans + 1) / 2, (scans + 2) / 2) THEN colourfulness END) OVER folders
                       AS median,
                   avg(CASE WHEN a_place IN ((hued + 1) / 2, (hued + 2) / 2) THEN mean_a END) OVER folders AS folder_a,
                   avg(CASE WHEN b_place IN ((hued + 1) / 2, (hued + 2) / 2) THEN mean_b END) OVER folders AS folder_b
            FROM ranked WHERE scans >= 8 WINDOW folders AS (PARTITION BY job_id, folder)
        ), apart AS (
            SELECT centred.*, abs(colourfulness - median) AS apart,
                   sqrt((mean_a - folder_a) * (mean_a - folder_a) + (mean_b - folder_b) * (mean_b - folder_b))
                       AS ab_apart
            FROM centred
        ), placed AS (
            SELECT apart.*,
                   row_number() OVER (PARTITION BY job_id, folder ORDER BY apart) AS apart_place,
                   row_number() OVER (PARTITION BY job_id, folder ORDER BY ab_apart NULLS LAST) AS ab_place
            FROM apart
        ), spread AS (
            SELECT placed.*,
                   1.4826 * avg(CASE WHEN apart_place IN ((scans + 1) / 2, (scans + 2) / 2) THEN apart END)
                       OVER folders AS deviation,
                   1.4826 * avg(CASE WHEN ab_place IN ((hued + 1) / 2, (hued + 2) / 2) THEN ab_apart END)
                       OVER folders AS ab_deviation
            FROM placed WINDOW folders AS (PARTITION BY job_id, folder)
        ), judged AS (
            SELECT spread.*,
                   (colourfulness - median) / CASE WHEN deviation > 2.0 THEN deviation ELSE 2.0 END AS distance,
                   CASE WHEN hued >= 8 THEN
                       ab_apart / CASE WHEN ab_deviation > 1.5 THEN ab_deviation ELSE 1.5 END END AS ab_distance
            FROM spread
        ), compared AS (
            SELECT judged.*,
                   CASE WHEN ab_distance > abs(distance) THEN ab_distance ELSE abs(distance) END AS furthest
            FROM judged
        )
        SELECT compared.job_id, compared.folder, compared.scans, scan.id AS scan_id, scan.source_key, scan.output_key,
               compared.colourfulness, compared.median AS folder_colourfulness, compared.distance, scan.certainty,
               scan.width, scan.height, scan.verdict, compared.mean_a, compared.mean_b, compared.folder_a,
               compared.folder_b, compared.ab_distance, compared.furthest
        FROM compared JOIN scan ON scan.id = compared.id
        WHERE compared.furthest > 3.5
    """,
}
