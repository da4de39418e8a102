"""What an evaluation found, to be read, seen and heard; and a blind listening test of several."""

from spectrodiff.report.page import write_report
from spectrodiff.report.tables import markdown_table

__all__ = ["markdown_table", "write_report"]
