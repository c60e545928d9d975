"""The report: one self-contained page, the same numbers as JSON and as Markdown."""

from asap.benchmark.report.data import Curve, Example, PairView, Point, ReportData, Shown
from asap.benchmark.report.page import html_page
from asap.benchmark.report.tables import json_report, markdown_page

__all__ = [
    "Curve",
    "Example",
    "PairView",
    "Point",
    "ReportData",
    "Shown",
    "html_page",
    "json_report",
    "markdown_page",
]
