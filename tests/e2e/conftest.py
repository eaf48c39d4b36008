"""The gateway that the tests of the contract share: one for all of them, since a start costs seconds."""

from collections.abc import Iterator

import pytest

from tests.e2e.contract import DEPLOYMENTS, house
from tests.e2e.harness import Gateway


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Two workers on the wall clock; every test works on deployments of its own."""
    gateway = house(tmp_path_factory.mktemp("gw"), DEPLOYMENTS)
    try:
        yield gateway
    finally:
        gateway.close()
