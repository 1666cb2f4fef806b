"""What people look at after a job: the HTML report, the contact sheet, the CSV of its scans.

`build.build_report()` gathers a job's rows and thumbnails into `data.ReportData`; `page.render_report()` makes the page
from that alone. `contact.contact_sheet()` and `write_csv()` stand by themselves.
"""

# The others load libvips or matplotlib, so they are imported by their modules' names, where they are needed.
from scheduler.report.csv_file import write_csv

__all__ = ["REPORTS", "write_csv"]

REPORTS = "photochrom-reports/"  # where they lie within a destination
