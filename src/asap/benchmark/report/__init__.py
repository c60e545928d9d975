"""The comparison of models: one self-contained page, and its numbers as JSON, Markdown and CSV."""

from asap.benchmark.report.data import Case, Comparison, Curve, PairView, Point
from asap.benchmark.report.formats import compare_csv, compare_json, compare_markdown
from asap.benchmark.report.leaderboard import merge_leaderboard
from asap.benchmark.report.page import compare_page
from asap.benchmark.report.tables import headline

__all__ = [
    "Case",
    "Comparison",
    "Curve",
    "PairView",
    "Point",
    "compare_csv",
    "compare_json",
    "compare_markdown",
    "compare_page",
    "headline",
    "merge_leaderboard",
]
