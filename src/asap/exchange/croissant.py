"""Metadata of a data set in Croissant 1.0, which search engines and data loaders read.

Source: docs/croissant-spec.md of mlcommons/croissant, version 1.0: required properties of the data set, of
``FileObject``, ``FileSet``, ``RecordSet`` and ``Field``, and the context of its Appendix 1.
"""

from typing import Final

from asap.exchange.facts import CardFacts, Shard, url_of
from asap.exchange.licences import licence_url
from asap.exchange.statements import NOT_STATED

__all__ = ["CONFORMS_TO", "croissant"]

CONFORMS_TO: Final = "http://mlcommons.org/croissant/1.0"
TERMS: Final = (
    "citeAs column extract field fileObject fileProperty fileSet format includes isLiveDataset jsonPath key md5 "
    "parentField path recordSet references regex repeated replace separator source subField transform"
)
CONTEXT: Final[dict[str, object]] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in TERMS.split()},
}
TYPES: Final = {"image": "sc:ImageObject", "integer": "sc:Integer", "number": "sc:Float", "text": "sc:Text"}
PARQUET: Final = "application/x-parquet"
SHARDS: Final = "shards"
RECORDS: Final = "pairs"


def croissant(facts: CardFacts) -> dict[str, object]:
    """The description of a data set as JSON-LD, without columns of lists, which Croissant 1.0 cannot describe."""
    owner = facts.owner
    found: dict[str, object] = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": facts.name,
        "description": owner.description or f"{facts.pairs} preference pairs on human anatomy, each with a mask.",
        "license": licence_url(owner.licence) or owner.licence or NOT_STATED,
        "url": url_of(facts),
        "creator": {"@type": "sc:Organization", "name": owner.creator or NOT_STATED},
        "datePublished": owner.date or facts.date,
        "version": "1.0.0",
        "keywords": ["preference pairs", "human anatomy", "text-to-image"],
        "distribution": [*map(_file, facts.shards), _file_set()],
        "recordSet": [_records(facts)],
    }
    return found | ({"citeAs": owner.citation} if owner.citation else {})


def _file(shard: Shard) -> dict[str, object]:
    return {
        "@type": "cr:FileObject",
        "@id": shard.name,
        "name": shard.name,
        "contentUrl": shard.name,
        "contentSize": f"{shard.size} B",
        "encodingFormat": PARQUET,
        "sha256": shard.sha256,
    }


def _file_set() -> dict[str, object]:
    return {
        "@type": "cr:FileSet",
        "@id": SHARDS,
        "name": SHARDS,
        "encodingFormat": PARQUET,
        "includes": "data/*.parquet",
    }


def _records(facts: CardFacts) -> dict[str, object]:
    fields = [_field(name, TYPES[kind]) for name, kind in facts.columns.items() if kind in TYPES]
    return {
        "@type": "cr:RecordSet",
        "@id": RECORDS,
        "name": RECORDS,
        "description": "One row per pair: the chosen image, the rejected one, and the mask of their difference.",
        "key": {"@id": f"{RECORDS}/uid"},
        "field": fields,
    }


def _field(name: str, kind: str) -> dict[str, object]:
    extract: dict[str, object] = {"column": name}
    field: dict[str, object] = {
        "@type": "cr:Field",
        "@id": f"{RECORDS}/{name}",
        "name": f"{RECORDS}/{name}",
        "dataType": kind,
        "source": {"fileSet": {"@id": SHARDS}, "extract": extract},
    }
    if kind == TYPES["image"]:
        field["source"] = {"fileSet": {"@id": SHARDS}, "extract": extract, "transform": {"jsonPath": "bytes"}}
    return field
