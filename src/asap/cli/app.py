"""Entry point: find the verb, load its file only, run it, and turn every ending into one line and an exit code.

Exit codes: 0 done, 1 a fault of ours, 2 the caller's mistake, 130 stopped by Ctrl-C.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn, Protocol, cast

from asap import __version__
from asap.core.errors import AsapError

__all__ = ["VERBS", "Parser", "build_parser", "main"]

VERBS: Final = {
    "pairs": "build, count and look at preference pairs",
    "mini": "train the embedded model from scratch",
    "train": "align a model on a pair store",
    "rounds": "align a model on what it draws itself, in rounds",
    "export": "write a trained LoRA in the names of kohya or ComfyUI",
    "fuse": "put a trained adapter into the model's own weights",
    "generate": "draw the suite's prompts with a model",
    "judge": "train, calibrate and run a judge of anatomy",
    "bench": "HAF-Bench: run a model over a suite, compare runs, check the prompts",
    "report": "compare generations in one HTML, JSON and Markdown report",
    "demo": "the whole loop, small: pairs, align, generate, judge, report",
    "reproduce": "make the published results anew",
}
STOPPED: Final = 130


class Verb(Protocol):
    """What each file of this package offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add arguments, and set ``run``, a function of the parsed arguments."""


class Parser(argparse.ArgumentParser):
    """An argument parser that complains on one line."""

    def error(self, message: str) -> NoReturn:
        """Print one line on stderr and leave with exit code 2."""
        self.exit(2, f"asap: error: {' '.join(message.split())}; see `{self.prog} --help`\n")


def build_parser(verb: str | None) -> Parser:
    """The parser of all verbs, with the arguments of ``verb`` only, so that nothing else is imported."""
    parser = Parser(prog="asap", description="Align text-to-image models to plausible human anatomy.")
    parser.add_argument("--version", action="version", version=f"asap {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    for name, summary in VERBS.items():
        child = verbs.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == verb:
            cast("Verb", import_module(f"asap.cli.{name}")).configure(child)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (the process's own when None) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        verb = next((word for word in words if not word.startswith("-")), None)
        arguments = build_parser(verb).parse_args(words)
        arguments.run(arguments)
        sys.stdout.flush()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 0
    except KeyboardInterrupt:
        return _end(STOPPED, "stopped; run the same command again to go on from here", "asap")
    except AsapError as error:
        return _end(error.exit_code, error.line)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:  # the last line of defence: a user sees one line, never a traceback
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return _end(1, f"{text} (a fault of ours; set ASAP_DEBUG=1 for the traceback)")
    return 0


def _end(code: int, line: str, prefix: str = "asap: error") -> int:
    if os.environ.get("ASAP_DEBUG") == "1":
        traceback.print_exc()
    print(f"{prefix}: {line}", file=sys.stderr)
    return code
