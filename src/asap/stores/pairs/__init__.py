"""Pair store: Parquet shards that ``datasets.load_dataset("parquet", data_dir=DIR)`` reads as they are.

DIR/
  config.json            the settings it was started with
  data/SPLIT-CHUNK.parquet
  parts/CHUNK.json       one for each finished chunk: its shards with digests, its rows' digests, its rejections
  manifest.json          written when all is done

A chunk of consecutive indices exists when its ``parts`` file does; other files that a killed writer left are ignored
and overwritten. The content hash is taken over the rows in index order, so it does not depend on chunks or restarts.
"""

from asap.stores.pairs.encode import EncodedChunk, EncodedRow, encode_rows
from asap.stores.pairs.reader import PairRow, PairStore
from asap.stores.pairs.schema import GATES, SPLITS
from asap.stores.pairs.writer import PairWriter

__all__ = ["GATES", "SPLITS", "EncodedChunk", "EncodedRow", "PairRow", "PairStore", "PairWriter", "encode_rows"]
