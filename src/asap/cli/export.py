"""``asap export``."""

import argparse
from pathlib import Path

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run, its best/, a snapshot, or an adapter's folder")
    parser.add_argument("--form", required=True, metavar="NAME", help="kohya, comfyui or diffusers")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="a .safetensors file")
    parser.add_argument("--model", metavar="NAME", help="the model it was trained on (as the run says)")
    parser.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> None:
    from asap.workflows.training.export import export_lora

    print(export_lora(arguments.folder, arguments.out, form=arguments.form, model=arguments.model))
