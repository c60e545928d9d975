"""``asap fuse``."""

import argparse
from pathlib import Path

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--model", default="mini", metavar="NAME", help="the model that was aligned (mini)")
    parser.add_argument("--adapter", type=Path, required=True, metavar="RUN", help="what `asap train` made")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new pipeline folder")
    parser.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda (a GPU if there is one)")
    parser.add_argument("--dtype", default="auto", metavar="NAME", help="numbers of the folder: float32, bfloat16...")
    parser.set_defaults(run=_fuse)


def _fuse(arguments: argparse.Namespace) -> None:
    from asap.backbones.family import LoadOptions
    from asap.workflows.training.export import fuse

    options = LoadOptions(device=arguments.device, dtype=arguments.dtype)
    print(fuse(arguments.model, arguments.adapter, arguments.out, options=options))
