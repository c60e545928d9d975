"""The judges: one module each, and the registry that makes them by name."""

from asap.workflows.evaluation.judges.registry import JUDGES, judge_by_name

__all__ = ["JUDGES", "judge_by_name"]
