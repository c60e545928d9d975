import pytest

from asap.core import vocabulary


def test_every_region_of_a_person_has_a_part() -> None:
    assert set(vocabulary.REGION_PART) == set(vocabulary.REGIONS) - {"background", "object"}
    assert set(vocabulary.REGION_PART.values()) == set(vocabulary.PARTS)


def test_region_ids_index_the_tuple() -> None:
    assert [vocabulary.region_id(name) for name in vocabulary.REGIONS] == list(range(len(vocabulary.REGIONS)))
    with pytest.raises(ValueError, match="not in tuple"):
        vocabulary.region_id("tail")
