"""The next version of both services, as a patched copy of their projects, and the last step of its migration.

It caches another representation, its events have another field, and its table another column.
"""

import shutil
from pathlib import Path

from devstack.django_commands import LICENSING, ORGANIZATION, Project

_EXPAND = """
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("organizations", "{last}")]
    operations = [migrations.AddField("organization", "note", models.CharField(max_length=100, null=True))]
"""
# Nothing reads the column any more.
_CONTRACT = """
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("organizations", "9000_expand")]
    operations = [migrations.RemoveField("organization", "note")]
"""


def next_version(folder: Path) -> tuple[Project, Project]:
    """The organization service and licensing. Old processes go on with a table that has the new column."""
    organization, licensing = _copies(folder)
    _patch(
        organization.folder / "organizations/models.py",
        "    # Set by the trigger.",
        "    note = models.CharField(max_length=100, null=True)\n    # Set by the trigger.",
    )
    _patch(
        organization.folder / "organizations/events.py",
        '"eventId": str(event_id),',
        '"eventId": str(event_id), "region": "north",',
    )
    _patch(
        licensing.folder / "organization_lookup/organization.py",
        '    "organizationName": "name",',
        '    "organizationName": "name",\n    "organizationNote": "note",',
    )
    return organization, licensing


def contracted(folder: Path) -> Project:
    """The organization service as it was, with the migration that drops the column."""
    organization, _ = _copies(folder)
    (_migrations(organization) / "9001_contract.py").write_text(_CONTRACT)
    return organization


def _copies(folder: Path) -> tuple[Project, Project]:
    copies = [Project(project.name, project.database, folder) for project in (ORGANIZATION, LICENSING)]
    for project, copy in zip((ORGANIZATION, LICENSING), copies, strict=True):
        shutil.copytree(project.folder, copy.folder, ignore=shutil.ignore_patterns("__pycache__"))
    organization, licensing = copies
    last = max(file.stem for file in _migrations(organization).glob("0*.py"))
    (_migrations(organization) / "9000_expand.py").write_text(_EXPAND.format(last=last))
    return organization, licensing


def _migrations(project: Project) -> Path:
    return project.folder / "organizations/migrations"


def _patch(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, f"{file} has changed: it should have {old!r} once"
    file.write_text(text.replace(old, new))
