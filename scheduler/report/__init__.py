"""What people look at after a job: the HTML report, the contact sheet.

`build.build_report()` gathers a job's rows and thumbnails into `data.ReportData`, and `page.render_report()` makes the
page from it.
"""

# The modules load libvips or matplotlib, so each is imported only where it is needed.
__all__ = ["REPORTS"]

REPORTS = "photochrom-reports/"  # the reports' folder in a destination
