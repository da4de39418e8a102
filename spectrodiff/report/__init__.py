"""Report of an evaluation as a web page, comparison of two, and a blind listening test."""

from spectrodiff.report.comparison import comparison_table
from spectrodiff.report.listening import write_listening_sheet
from spectrodiff.report.markdown import markdown_table
from spectrodiff.report.page import write_report
from spectrodiff.report.tally import tally

__all__ = [
    "comparison_table",
    "markdown_table",
    "tally",
    "write_listening_sheet",
    "write_report",
]
