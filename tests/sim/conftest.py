"""The sample workspace, made once for all tests that only read it."""

import pytest

from cio2d365.sim.customerio import Workspace
from cio2d365.sim.sample import sample_workspace


@pytest.fixture(scope="session")
def sample() -> Workspace:
    """Whoever changes something (clock, settings) changes it back."""
    return sample_workspace()
