"""How long the README's commands for HAF-Bench take: base, dpo and asap on the embedded model, and one page for them.

    python benchmarks/judges/readme.py [--work DIR]

Runs the block of README.md that ends in ``asap bench compare``, line by line, in an empty folder.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"


def commands(text: str) -> list[list[str]]:
    """The words of each line of the block of ``text`` in which runs are compared."""
    for block in text.split("```")[1::2]:
        if "asap bench compare" in block:
            return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]
    raise SystemExit("the README has no block with `asap bench compare`")


def main() -> None:
    """Print seconds a command and in all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--work", type=Path, help="where to run them, kept (a folder that is deleted)")
    work = parser.parse_args().work
    with tempfile.TemporaryDirectory() as empty:
        folder, total = work or Path(empty), 0.0
        folder.mkdir(parents=True, exist_ok=True)
        for words in commands(README.read_text(encoding="utf-8")):
            began = time.monotonic()
            subprocess.run([sys.executable, "-m", "asap.cli", *words[1:]], cwd=folder, check=True)
            seconds = time.monotonic() - began
            total += seconds
            print(f"{seconds:7.1f} s  {shlex.join(words)}", flush=True)
        print(f"{total:7.1f} s  in all ({total / 60:.1f} minutes)")


if __name__ == "__main__":
    main()
