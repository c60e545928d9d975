"""The report and the comparison: one self-contained page each, and the same numbers as JSON, Markdown and CSV."""

from asap.benchmark.report.cases import Case, CompareData, Tile
from asap.benchmark.report.comparison import compare_csv, compare_json, compare_markdown, compare_page
from asap.benchmark.report.data import Curve, Example, PairView, Point, ReportData, Shown
from asap.benchmark.report.leaderboard import merge_leaderboard
from asap.benchmark.report.page import html_page
from asap.benchmark.report.tables import json_report, markdown_page

__all__ = [
    "Case",
    "CompareData",
    "Curve",
    "Example",
    "PairView",
    "Point",
    "ReportData",
    "Shown",
    "Tile",
    "compare_csv",
    "compare_json",
    "compare_markdown",
    "compare_page",
    "html_page",
    "json_report",
    "markdown_page",
    "merge_leaderboard",
]
