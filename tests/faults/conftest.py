"""The site that the faults of this folder strike."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.site import Site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        # PostgreSQL, started by root, runs as somebody else, who has to get to its data.
        Path(folder).chmod(0o711)
        with Site(Path(folder)) as site:
            yield site
