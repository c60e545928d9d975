import pytest

from asap.bodies.rig import Rig, load_rig
from asap.core.records import PosedBody
from tests.bodies.figures import figure


@pytest.fixture(scope="session")
def rig() -> Rig:
    return load_rig()


@pytest.fixture(scope="session")
def body(rig: Rig) -> PosedBody:
    """The template in its rest pose, arms held away from the trunk."""
    return figure(rig)
