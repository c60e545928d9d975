"""Download the models of the landmarker ``mediapipe`` to the user's cache: ``python -m asap.regions.fetch``.

The wheel comes from the user's package index by ``pip download``. Its models are verified by their hashes.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from asap.core.errors import InputError
from asap.core.files import write_bytes
from asap.regions.models import MODELS, missing, models_folder, unpack

__all__ = ["fetch", "main"]

WHEEL: Final = "mediapipe==0.10.21"
ANY_MACHINE: Final = (
    "--only-binary=:all:",
    "--platform=manylinux_2_28_x86_64",
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
)
"""The same wheel on every machine: its models do not depend on the machine."""


def fetch(folder: Path | None = None) -> Path:
    """Make sure that all models are in ``folder`` (default: the user's cache); returns the folder.

    Raises:
        InputError: pip cannot get the wheel, or the folder cannot be written.
        StoreError: the wheel has other content than expected.
    """
    place = folder or models_folder()
    if not missing(place):
        return place
    with tempfile.TemporaryDirectory() as temporary:
        models = unpack(_download(Path(temporary)))
    for name in MODELS:
        write_bytes(place / f"{name}.tflite", models[name])
    return place


def _download(folder: Path) -> bytes:
    """The wheel's bytes; raises ``InputError`` with pip's last line."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *ANY_MACHINE, "--dest", str(folder)]
    done = subprocess.run([*command, WHEEL], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"pip cannot download {WHEEL} ({said}); give pip an index or a folder of wheels that has it")
    return wheels[0].read_bytes()


def main() -> int:
    """Download the models and print where they are; returns the exit code."""
    try:
        folder = fetch()
    except InputError as error:
        print(f"error: {error.line}", file=sys.stderr)
        return error.exit_code
    print(f"{len(MODELS)} models in {folder}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
