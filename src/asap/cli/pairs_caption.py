"""``asap pairs caption``: ask a vision-language model what each photograph of a folder shows."""

import argparse
import os
from pathlib import Path

from asap.cli.output import print_lines, tell
from asap.cli.values import positive, positive_real

__all__ = ["configure"]

KEY = "OPENAI_API_KEY"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of photographs; gets captions.jsonl")
    parser.add_argument("--endpoint", required=True, metavar="URL", help="OpenAI-compatible base address, .../v1")
    parser.add_argument("--model", required=True, metavar="NAME", help="the model's name there")
    parser.add_argument("--key-env", default=KEY, metavar="NAME", help=f"environment variable with the key ({KEY})")
    parser.add_argument("--concurrency", type=positive, default=4, metavar="N", help="questions at once (4)")
    parser.add_argument("--timeout", type=positive_real, default=60.0, metavar="S", help="seconds for an answer (60)")
    parser.set_defaults(run=_caption)


def _caption(arguments: argparse.Namespace) -> None:
    from asap.workflows.pairs.captions import Endpoint, caption_photos

    endpoint = Endpoint(
        url=arguments.endpoint,
        model=arguments.model,
        key=os.environ.get(arguments.key_env, ""),
        timeout=arguments.timeout,
    )
    print_lines(caption_photos(arguments.folder, endpoint, concurrency=arguments.concurrency, report=tell))
