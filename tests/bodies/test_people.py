from dataclasses import replace

import numpy as np
import pytest

from asap.bodies.anny_data import PHENOTYPES
from asap.bodies.people import CLOTHES, HAIRS, SKINS, linear, paint_person, person_uid, sample_person
from asap.bodies.rig import Rig
from asap.core.records import BoolArray, Floats
from asap.core.seeds import generator
from asap.core.vocabulary import region_id
from tests.bodies.figures import PERSON

PLAIN = replace(PERSON, tint=(1.0, 1.0, 1.0), skin="tan", shirt="red", trousers="blue", hair="black", shoes="white")


def share(rig: Rig, colours: Floats, colour: Floats, part: str) -> float:
    """Share of the vertices of ``part`` that have ``colour``."""
    mine: BoolArray = rig.regions == region_id(part)
    return float(np.isclose(colours[mine], colour, atol=1e-6).all(axis=1).mean())


def test_white_is_one_and_grey_is_dark() -> None:
    assert np.allclose(linear((255, 255, 255)), 1.0)
    assert linear((128, 128, 128))[0] == pytest.approx(0.2159, abs=1e-3)
    assert linear((10, 10, 10))[0] == pytest.approx(10 / 255 / 12.92)


def test_people_are_adults_of_every_word() -> None:
    people = [sample_person(generator(0, i), str(i)) for i in range(200)]
    assert {p.skin for p in people} == set(SKINS)
    assert {p.hair for p in people} == set(HAIRS)
    assert {p.shirt for p in people} == set(CLOTHES)
    assert {p.woman for p in people} == {True, False}
    assert min(p.phenotype["age"] for p in people) > 0.6
    assert all(set(p.phenotype) == set(PHENOTYPES) and 0 <= min(p.phenotype.values()) <= 1 for p in people)
    assert sample_person(generator(0, 5), "5") == people[5]


def test_ids_of_people_depend_on_seed_namespace_and_number() -> None:
    ids = {person_uid(seed, name, n) for seed in (0, 1) for name in ("mini", "pairs") for n in range(50)}
    assert len(ids) == 200
    assert person_uid(0, "mini", 3).startswith("mini-")


def test_clothes_lie_where_they_belong(rig: Rig) -> None:
    colours = paint_person(rig, replace(PLAIN, sleeves="short-sleeved", legwear="shorts"))
    skin, shirt, trousers = linear(SKINS["tan"]), linear(CLOTHES["red"]), linear(CLOTHES["blue"])
    assert share(rig, colours, shirt, "torso") > 0.4
    assert share(rig, colours, trousers, "torso") > 0.1
    for part in ("hand.L", "hand.R"):
        assert share(rig, colours, skin, part) == 1.0
    for part, cloth in (("arm.L", shirt), ("arm.R", shirt), ("leg.L", trousers), ("leg.R", trousers)):
        assert 0.1 < share(rig, colours, cloth, part) < 0.9
        assert share(rig, colours, cloth, part) + share(rig, colours, skin, part) == pytest.approx(1.0)
    assert share(rig, colours, np.asarray(linear((225, 225, 225))), "foot.L") == 1.0


def test_longer_sleeves_and_legs_cover_more(rig: Rig) -> None:
    shirt, trousers = linear(CLOTHES["red"]), linear(CLOTHES["blue"])
    sleeves = [
        share(rig, paint_person(rig, replace(PLAIN, sleeves=word)), shirt, "arm.L")
        for word in ("sleeveless", "short-sleeved", "long-sleeved")
    ]
    assert sleeves[0] < sleeves[1] < sleeves[2]
    assert sleeves[2] > 0.9
    legs = [share(rig, paint_person(rig, replace(PLAIN, legwear=w)), trousers, "leg.R") for w in ("shorts", "trousers")]
    assert legs[0] < legs[1]


def test_bare_feet_have_the_skin_of_the_hands(rig: Rig) -> None:
    colours = paint_person(rig, replace(PLAIN, shoes="barefoot"))
    assert share(rig, colours, linear(SKINS["tan"]), "foot.R") == 1.0


def test_hair_is_on_the_head_alone_and_women_have_more(rig: Rig) -> None:
    hair = linear(HAIRS["black"])
    man, woman = (paint_person(rig, replace(PLAIN, woman=w)) for w in (False, True))
    assert 0.05 < share(rig, man, hair, "head") < share(rig, woman, hair, "head") < 0.6
    assert share(rig, woman, hair, "torso") == 0.0


def test_two_images_of_one_person_share_no_array(rig: Rig) -> None:
    first = paint_person(rig, PLAIN)
    before = first.copy()
    first[:] = 0.0
    assert np.array_equal(paint_person(rig, PLAIN), before)
    assert before.dtype == np.float32
    assert before.min() >= 0.0
    assert before.max() <= 1.0
