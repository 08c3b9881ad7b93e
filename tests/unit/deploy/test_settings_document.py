"""docs/settings.md has every setting that the code reads, with its bounds, its default, and what applies it."""

from tests.unit.deploy.settings_document import DOCUMENT, document, settings


def test_the_table_is_that_of_the_code() -> None:
    remedy = "run python -m tests.unit.deploy.settings_document"
    assert DOCUMENT.read_text() == document(), remedy
    applied_by = {name: setting["applied_by"] for name, setting in settings().items()}
    assert applied_by["DATABASE_URL"] == "restart"
    assert applied_by["ORGANIZATION_MAX_STALENESS_S"] == applied_by["LOG_LEVEL"] == "refresh"
    assert applied_by["WEB_THREADS"] == "SIGHUP"
