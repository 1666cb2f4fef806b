"""What people look at after a job: the HTML report, the contact sheet.

`build.build_report()` gathers a job's rows and thumbnails into `data.ReportData`; `page.render_report()` makes the page
from that alone. `contact.contact_sheet()` stands by itself.
"""

# The modules load libvips or matplotlib, so they are imported by their names, where they are needed.
__all__ = ["REPORTS"]

REPORTS = "photochrom-reports/"  # where they lie within a destination
