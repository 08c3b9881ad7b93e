"""The searches of this folder need neither Django nor a server. `pytest -s` shows how far they have got."""

import sys
from functools import cache

import pytest

from tests.model.configuration import Configuration
from tests.model.model import Explore, explore
from tests.model.search import Outcome
from tests.model.world import World


@pytest.fixture(scope="session")
def explored(pytestconfig: pytest.Config) -> Explore:
    shown = pytestconfig.getoption("capture") == "no"

    def progress(found: int, seen: int) -> None:
        if shown:
            sys.stdout.write(f"\r{found:>12,} states found, {seen:,} looked at ")
            sys.stdout.flush()

    @cache
    def once(configuration: Configuration, *, live: bool = False) -> Outcome[World]:
        return explore(configuration, progress=progress, live=live)

    return once
