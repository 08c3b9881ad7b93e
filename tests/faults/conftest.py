"""The site that the faults of this folder strike."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.event_stream.leaks import failed_connections
from tests.faults.site import Site


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What is asked of brokers that are not quite back yet is tidied up after each test."""
    with failed_connections():
        yield


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        # PostgreSQL, started by root, runs as somebody else, who has to get to its data.
        Path(folder).chmod(0o711)
        with Site(Path(folder)) as site:
            yield site
