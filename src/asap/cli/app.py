"""Entry point: find the command, load its file only, parse its flags, run it, and turn every ending into an exit code.

A command is one file of this package, named after its words (``pairs stats`` is ``pairs_stats.py``), with one class:

    @dataclass(frozen=True, kw_only=True)
    class Command:
        \"\"\"Count the pairs of a store. The docstring is the description in ``--help``.\"\"\"

        pairs: Positional[Path]
        \"\"\"Folder of the pair store. The docstring of a field is the help of its flag.\"\"\"
        seed: Natural = 0
        \"\"\"A type of ``core.settings`` sets the limits of a number.\"\"\"

        def run(self) -> None:
            \"\"\"Import the workflow here, so that ``--help`` loads no torch; call it and print what it returns.\"\"\"

To add one: write the file, and add one line to ``GROUPS``. tyro makes flags, defaults and help of the class. A field
that is itself a dataclass is a section: a group in the help, whose flags have no prefix. A command that inherits its
settings and adds ``config: Path | None`` takes ``--config FILE``: YAML of the inherited settings, which flags override.
``core.settings`` reads it from the same classes.

tyro (MIT, 0.8 MB, imported in 0.12 s) takes nested frozen dataclasses as they are, field docstrings as help, and flat
flags for sections, and names the nearest flag for an unknown one. jsonargparse reads YAML itself, but loads twice as
long, spells nested flags ``--optim.lr`` and suggests nothing; typer wants functions, pydantic-settings its own models.

Exit codes: 0 done, 1 an error in asap, 2 wrong input, 130 stopped by Ctrl-C.
"""

import itertools
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, cast

from asap import __version__
from asap.core.errors import AsapError, InputError
from asap.core.settings import build, check, nearest
from asap.workflows.runtime.quiet import quiet_libraries

__all__ = ["COMMANDS", "GROUPS", "Command", "command_class", "find_command", "main", "parse"]

GROUPS: Final[dict[str, dict[str, str]]] = {
    "Try it": {
        "demo": "run the whole loop at small size: pairs, training, images, judge, comparison",
    },
    "Make pairs": {
        "pairs build rendered": "build pairs of rendered people",
        "pairs build photos": "build pairs of photographs",
        "pairs stats": "count the pairs of a store",
        "pairs show": "draw pairs of a store on one sheet",
        "pairs review": "accept or reject pairs in the browser",
    },
    "Align a model": {
        "train": "align a model on a pair store",
        "export": "write a trained LoRA for kohya, ComfyUI, diffusers or peft",
    },
    "Measure the result": {
        "generate": "generate the images of a prompt suite",
        "judge calibrate": "calibrate a judge on images whose defects are known",
        "bench run": "run HAF-Bench: generate the images of a suite and judge them",
        "bench compare": "compare runs on one page",
    },
    "More on pairs": {
        "pairs build inpaint": "build pairs of photographs with a diffusion model",
        "pairs build controlnet": "build photorealistic pairs from rendered people",
        "pairs build on-policy": "build pairs of a model's own errors",
        "pairs caption": "caption photographs with a vision-language model",
        "pairs audit": "test whether the two images differ in more than the anatomy",
        "pairs agreement": "measure the agreement of reviewers",
        "pairs reviewed": "make a store of the accepted pairs",
        "pairs import": "read the pairs of another tool",
        "pairs export": "write pairs in the format of another tool",
        "pairs card": "write a dataset card, Croissant metadata and a sheet of pairs",
        "pairs push": "upload a pair store to the Hugging Face Hub",
        "pairs recipe": "write a small file from which a pair store can be rebuilt",
        "pairs rebuild": "build the pair store of a recipe",
    },
    "More on training": {
        "train iterative": "align a model on images that it generates itself, in rounds",
        "fuse": "write a pipeline with the trained LoRA merged into its weights",
        "mini pretrain": "train the embedded model from scratch",
    },
    "More on measuring": {
        "judge run": "judge images that were generated before",
        "judge train": "train the learned judge",
        "judge compare": "compare two models side by side with a vision-language model",
        "judge rate": "rate images in the browser, blind",
        "judge raters": "measure the agreement of raters",
        "bench rate": "rate images of several runs blind on contact sheets",
        "bench check": "check the packaged prompts",
        "reproduce": "reproduce the published results",
    },
}
"""Commands by what a person wants to do, everyday ones first, each with its summary."""
COMMANDS: Final = {name: summary for group in GROUPS.values() for name, summary in group.items()}
STOPPED: Final = 130


class Command(Protocol):
    """An instance of the class ``Command`` of a command's file: the parsed arguments."""

    def run(self) -> None:
        """Do it, and print the result."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (the process's own when None) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        quiet_libraries()
    try:
        if text := _information(words):
            print(text)
        else:
            parse(words).run()
        sys.stdout.flush()
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else 0
    except KeyboardInterrupt:
        return _end(STOPPED, "stopped; run the same command again to continue", "asap")
    except AsapError as error:
        return _end(error.exit_code, error.line)
    except BrokenPipeError:  # the reader of our output left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except Exception as error:  # the last line of defence: a user sees one line, never a traceback
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return _end(1, f"{text} (an error in asap; set ASAP_DEBUG=1 for the traceback)")
    return 0


def parse(words: Sequence[str]) -> Command:
    """The command that ``words`` ask for, parsed and checked but not run.

    Raises:
        InputError: no such command, a number out of its range, or a wrong ``--config`` file.
        SystemExit: with 0 after ``--help``, with 2 after an unknown, missing or malformed flag; the message is printed.
    """
    name, flags = find_command(words)
    return cast("Command", _parse_flags(name, flags))


def find_command(words: Sequence[str]) -> tuple[str, list[str]]:
    """The longest command that ``words`` begin with, and the words after it.

    Raises:
        InputError: there is none; the message gives the nearest or the possible ones.
    """
    for length in range(len(words), 0, -1):
        if (name := " ".join(words[:length])) in COMMANDS:
            return name, list(words[length:])
    prefix = ""
    for word in itertools.takewhile(lambda word: not word.startswith("-"), words):
        if not _within(f"{prefix}{word} "):
            raise InputError(f"unknown command {prefix + word!r}{_suggestion(prefix, word)}; see `asap --help`")
        prefix += f"{word} "
    following = ", ".join(_following(prefix))
    raise InputError(f"`{f'asap {prefix}'.strip()}` needs a command after it: {following}; see `asap {prefix}--help`")


def _within(prefix: str) -> list[str]:
    return [name for name in COMMANDS if name.startswith(prefix)]


def _following(prefix: str) -> list[str]:
    """The words that may follow ``prefix``."""
    return list(dict.fromkeys(name.removeprefix(prefix).split()[0] for name in _within(prefix)))


def _suggestion(prefix: str, word: str) -> str:
    below = [name for name in COMMANDS if name.split()[-1] == word]
    return f", did you mean `asap {below[0]}`?" if below else nearest(word, _following(prefix))


def command_class(name: str) -> type[Command]:
    """The class of the command ``name``; imports its file."""
    module = import_module(f"asap.cli.{name.replace(' ', '_').replace('-', '_')}")
    return cast("type[Command]", module.Command)


def _parse_flags(name: str, flags: list[str]) -> object:
    import tyro

    from asap.cli.options import CONFIG_MARKERS, MARKERS, REGISTRY

    _refuse_repeated(flags)
    kind, default = command_class(name), None
    if (configurable := "config" in kind.__annotations__) and (path := _config_file(flags)):
        settings: object = build(kind.__bases__[0], read_yaml(path), missing=tyro.MISSING, where=f"{path}: ")
        default = kind(**vars(settings), config=path)  # type: ignore[call-arg]  # a dataclass with these fields
    found = tyro.cli(
        kind,
        prog=f"asap {name}",
        args=flags,
        default=default,
        config=CONFIG_MARKERS if configurable else MARKERS,
        registry=REGISTRY,
    )
    check(found, name=lambda path: "--" + path[-1].replace("_", "-"))
    return found


def read_yaml(path: Path) -> dict[str, object]:
    """Names and values of a YAML file.

    Raises:
        InputError: the file cannot be read, or is not YAML of ``name: value`` lines.
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InputError(f"{path} must hold lines of the form `name: value`, see configs/ for examples")
    return found


def _refuse_repeated(flags: Sequence[str]) -> None:
    """A flag of several values takes them all at once; given twice, the last would silently win."""
    given = [flag.partition("=")[0] for flag in flags if flag.startswith("--")]
    if twice := sorted({flag for flag in given if given.count(flag) > 1}):
        raise InputError(f"{', '.join(twice)} given twice; write all values after one, for instance `--truth A B`")


def _config_file(flags: Sequence[str]) -> Path | None:
    for place, flag in enumerate(flags):
        if flag == "--config" and place + 1 < len(flags):
            return Path(flags[place + 1])
        if flag.startswith("--config="):
            return Path(flag.removeprefix("--config="))
    return None


def _information(words: Sequence[str]) -> str:
    """What ``--version``, or ``--help`` without a whole command, print; empty otherwise."""
    if list(words) == ["--version"]:
        return f"asap {__version__}"
    if not words or words[-1] not in ("-h", "--help"):
        return ""
    prefix = "".join(f"{word} " for word in words[:-1])
    return _overview(prefix) if _within(prefix) and prefix.strip() not in COMMANDS else ""


def _overview(prefix: str) -> str:
    """Commands that begin with ``prefix``, grouped."""
    lines = [f"usage: asap {prefix}COMMAND [OPTIONS]", ""]
    if not prefix:
        lines += ["Align text-to-image models so that they draw people with correct anatomy.", ""]
    shown = _within(prefix)
    width = max(map(len, shown)) + 2
    for title, group in GROUPS.items():
        rows = [f"  {name:<{width}}{summary}" for name, summary in group.items() if name in shown]
        lines += [f"{title}:", *rows, ""] if rows else []
    return "\n".join([*lines, "`asap COMMAND --help` lists the options of a command."])


def _end(code: int, line: str, prefix: str = "asap: error") -> int:
    if os.environ.get("ASAP_DEBUG") == "1":
        traceback.print_exc()
    print(f"{prefix}: {line}", file=sys.stderr)
    return code
