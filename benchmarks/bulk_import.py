"""`manage.py import_organizations` of a file, each organization with its event, beside an earlier commit."""

import json
from functools import partial

import psycopg

from benchmarks import before, timed_command
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Figure, Series, paired
from benchmarks.measure import interleaved
from benchmarks.stage import Stage
from devstack.django_commands import ORGANIZATION, Project
from devstack.environment import service_environment

_TOO_LONG_S = 300.0


def measure(stage: Stage) -> list[Figure]:
    rounds, amount = stage.pick((1, 1_000), (5, 20_000), (5, 100_000))
    platform = stage.bulk()
    file = stage.folder / "organizations.jsonl"
    file.write_text("".join(json.dumps(_organization(number)) + "\n" for number in range(amount)))
    contestants = {"ours": (ORGANIZATION, platform.organization_settings)}
    notes = [f"Each run reads {amount:,} lines into an empty table, the start of the command included."]
    if stage.pick(False, True):
        try:
            earlier = before.prepare(stage, {**platform.organization_settings, "ORG_CHANGE_TOPIC": "before"})
        except BenchmarkError as error:
            notes.append(f"Not measured beside {before.COMMIT}: {error}")
        else:
            contestants[f"ours at {before.COMMIT}"] = (earlier.project, earlier.settings)
    cpu_us: dict[str, list[float]] = {}

    def run(name: str) -> float:
        done = _import(*contestants[name], str(file), amount)
        cpu_us.setdefault(name, []).append(done.cpu_s / amount * 1e6)
        return amount / done.took_s

    stage.announce(f"{rounds} imports of {amount:,} organizations")
    played = interleaved({name: partial(run, name) for name in contestants}, rounds)
    series = [Series(name, rates, {"CPU µs": sum(cpu_us[name]) / rounds}) for name, rates in played.items()]
    ratios = [paired(f"ours / {before.COMMIT}", series[0], series[1], ">= 2")] if len(series) > 1 else []
    return [Figure(f"Import of {amount:,} organizations", "organizations/s", series, ratios, notes)]


def _organization(number: int) -> dict[str, str]:
    return {
        "name": f"Customer {number}",
        "contactName": "Ann Example",
        "contactEmail": f"ann{number}@example.org",
        "contactPhone": "+1 555 0100",
    }


def _import(project: Project, settings: dict[str, str], file: str, amount: int) -> timed_command.Finished:
    with psycopg.connect(settings["DATABASE_URL"], autocommit=True) as connection:
        # Without the triggers, which would write an event for each row.
        connection.execute("SET session_replication_role = 'replica'")
        connection.execute("TRUNCATE organizations_organization, event_stream_outbox")
        argv = project.command("import_organizations", file)
        done = timed_command.run(argv, service_environment(settings), within_s=_TOO_LONG_S)
        tables = ("organizations_organization", "event_stream_outbox")
        counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in tables]
    if counts != [(amount,), (amount,)]:
        raise BenchmarkError(f"{counts} organizations and events are there after an import of {amount}")
    return done
