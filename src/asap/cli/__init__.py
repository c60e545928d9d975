"""The command `asap`: one file a verb, each parses its arguments, calls one stage and prints what it returns."""

from asap.cli.app import main

__all__ = ["main"]
