"""The units of deploy/systemd, as systemd reads them: with the drop-ins of their prefix, later lines winning."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.compose_file import DEPLOY

UNITS = DEPLOY / "systemd"
HOME = "/opt/organization-events"
CONFIGURATION = "/etc/organization-events"


@dataclass(frozen=True, slots=True)
class Unit:
    """`settings` has every value of a key of [Service], in order. `instance` stands for %i."""

    name: str
    settings: dict[str, list[str]]

    def one(self, key: str) -> str:
        return self.settings[key][-1]

    @property
    def argv(self) -> list[str]:
        return shlex.split(self.one("ExecStart"))

    @property
    def environment(self) -> dict[str, str]:
        """What the unit itself says; its files say the rest, and come first."""
        pairs = (word for line in self.settings.get("Environment", []) for word in shlex.split(line))
        return dict(pair.split("=", 1) for pair in pairs)

    @property
    def files(self) -> dict[str, str]:
        """The variables of the examples of its EnvironmentFiles."""
        found: dict[str, str] = {}
        for path in self.settings.get("EnvironmentFile", []):
            example = UNITS / f"{path.removeprefix('-').removeprefix(f'{CONFIGURATION}/')}.example"
            lines = (line for line in example.read_text().splitlines() if line and not line.startswith("#"))
            found |= dict(line.split("=", 1) for line in lines)
        return found


def services(instance: str = "1") -> Iterator[Unit]:
    """Each service; of a template, this instance."""
    for path in sorted(UNITS.glob("*.service")):
        text = path.read_text() + (UNITS / "events-.service.d/hardening.conf").read_text()
        yield Unit(path.name.replace("@", f"@{instance}"), _service_section(text.replace("%i", instance)))


def _service_section(text: str) -> dict[str, list[str]]:
    settings: dict[str, list[str]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            key, _, value = line.partition("=")
            settings.setdefault(key, []).append(value)
    return settings


def copy_to(folder: Path, home: Path) -> list[str]:
    """The units in `folder`, with `home` for where the programs are; the names of what can be started."""
    names = []
    for path in sorted(UNITS.rglob("*")):
        if path.suffix in {".service", ".timer", ".target", ".conf"} and path.name != "sysusers.conf":
            target = folder / path.relative_to(UNITS)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(path.read_text().replace(HOME, str(home)))
            if path.suffix != ".conf":
                names.append(path.name.replace("@.", "@1."))
    return names
