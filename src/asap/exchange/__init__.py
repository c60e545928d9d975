"""Convert pairs to the formats of other tools and back. This package opens no store."""

from typing import Final

from asap.core.errors import UnknownNameError
from asap.exchange.kohya import KOHYA
from asap.exchange.onetrainer import ONETRAINER
from asap.exchange.pair import MARKER, Format, Refused, SharedPair, Summary, file_key
from asap.exchange.parquet import PARQUET
from asap.exchange.pickapic import PICKAPIC
from asap.exchange.simpletuner import SIMPLETUNER
from asap.exchange.webdataset import WEBDATASET

__all__ = ["FORMATS", "MARKER", "Format", "Refused", "SharedPair", "Summary", "file_key", "format_named"]

FORMATS: Final = {one.name: one for one in (PICKAPIC, PARQUET, WEBDATASET, ONETRAINER, KOHYA, SIMPLETUNER)}


def format_named(name: str) -> Format:
    """The format called ``name``; raises ``UnknownNameError``."""
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS)
    return FORMATS[name]
