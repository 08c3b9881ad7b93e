"""Measure how fast everything is, beside what it is compared with: benchmarks/run [PART ...]

Without a PART all of them are measured, but for those that only --long has. The parts share one set of servers. Each
is written as soon as it is measured: to docs/performance.json, docs/performance.md, its picture and the README. So a
run that was ended goes on with --resume, and one PART can be measured again by itself. A part that fails is named at
the end, the others are measured all the same, and the exit code is 1.
"""

import argparse
import json
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bulk_import, cache_read, costs, eviction, footprint, growth, lookup, measure, put, relay, worker
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Figure
from benchmarks.peers import parts as peers
from benchmarks.report import Pages, Result, plain_text
from benchmarks.stage import Stage
from devstack.console import Console
from devstack.environment import LOCAL, ROOT
from devstack.errors import StackError


@dataclass(frozen=True, slots=True)
class Part:
    """`only_long` ones are measured with --long, or where they are named."""

    title: str
    measure: Callable[[Stage], list[Figure]]
    only_long: bool = False


PARTS = {
    "lookup": Part("license lookups beside plain DRF and an empty view", lookup.measure),
    "spread": Part("whether each run of lookups gets as many", lookup.spread),
    "put": Part("PUT with its event, without, and as plain DRF", put.measure),
    "eviction": Part("from the answer to a PUT to the evicted key, beside a bare message", eviction.measure),
    "metrics": Part("what metrics cost", costs.metrics, only_long=True),
    "traces": Part("what OpenTelemetry costs", costs.traces, only_long=True),
    "memory": Part("memory of the processes, and from their start to ready", footprint.footprint),
    "misses": Part("1 to 1,000 misses at once", growth.misses),
    "data": Part("lookups with 1,000 to 1,000,000 organizations", growth.lookups),
    "cache-read": Part("a read of the cache beside django-redis", cache_read.measure),
    "relay": Part("the relay with a backlog, beside a bare producer of the same bytes", relay.measure),
    "worker": Part("the worker with a backlog, beside a bare poll", worker.measure),
    "peers": Part("the worker with a backlog, beside other libraries", peers.backlog),
    "takeover": Part("takeover from one of two workers, beside other libraries", peers.takeover),
    "workers": Part("the worker on 1 to 12 partitions, in 1 to 4 processes", growth.workers),
    "import": Part("an import, each organization with its event", bulk_import.measure),
    "records": Part("what the worker's records for the trace cost", costs.records, only_long=True),
}
"""By name, in the order in which they are measured: those on running services come first."""


def main(arguments: Sequence[str]) -> int:
    # As Ctrl-C does, so that the servers and their data go, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began_s = time.monotonic()
    options = _options(arguments)
    console = Console(to_stderr=options.as_json)
    folder: Path = options.output or (LOCAL / "benchmarks" / "quick" if options.quick else ROOT / "docs")
    pages = Pages(folder)
    where = measure.machine()
    console.line(", ".join(f"{name} {value}" for name, value in where.items()))
    if options.quick:
        console.line("A quick run: these are no figures.")
    names = options.parts or [name for name, part in PARTS.items() if options.long or not part.only_long]
    kept = {result.part: result for result in pages.read()}
    if options.resume:
        names = [name for name in names if not _is_measured(kept.get(name), where)]
    measured = []
    with Stage(scale=0 if options.quick else 2 if options.long else 1, announce=console.progress) as stage:
        for name in names:
            result = _measure(name, stage, where, console)
            measured.append(result)
            if result.failure:
                stage.start_over()
            # One that fails leaves the figures that were there.
            if not result.failure or name not in kept:
                kept[name] = result
            pages.write([kept[part] for part in PARTS if part in kept])
    if options.as_json:
        json.dump({"quick": options.quick, "parts": [each.as_dict() for each in measured]}, sys.stdout, indent=1)
        print()
    failed = [result for result in measured if result.failure]
    for result in failed:
        console.error(f"{result.part}: {result.failure}")
    took_min = (time.monotonic() - began_s) / 60
    done = f"{len(measured) - len(failed)} of {len(measured)} parts were measured in {took_min:.0f} min"
    console.line(f"{done}; see {_shown(folder)}")
    return 1 if failed else 0


def _measure(name: str, stage: Stage, where: dict[str, object], console: Console) -> Result:
    began_s = time.monotonic()
    try:
        with console.step(f"{name}: {PARTS[name].title}"):
            figures = PARTS[name].measure(stage)
    except (BenchmarkError, StackError) as error:
        return Result(name, where, time.monotonic() - began_s, failure=str(error))
    except Exception as error:  # noqa: BLE001 - the other parts are measured all the same
        console.error(traceback.format_exc())
        return Result(name, where, time.monotonic() - began_s, failure=f"{type(error).__name__}: {error}")
    for figure in figures:
        console.line(plain_text(figure))
    return Result(name, where, time.monotonic() - began_s, figures)


def _is_measured(result: Result | None, where: dict[str, object]) -> bool:
    return result is not None and not result.failure and result.machine.get("commit") == where["commit"]


def _shown(folder: Path) -> str:
    return str(folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder) + "/performance.md"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    description, _, epilog = (__doc__ or "").partition("\n\n")
    listed = "\n".join(
        f"  {name:<12} {part.title}{' (--long)' if part.only_long else ''}" for name, part in PARTS.items()
    )
    parser = argparse.ArgumentParser(
        prog="benchmarks/run",
        description=description,
        epilog=f"{epilog}\nParts:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="only these, in this order")
    effort = parser.add_mutually_exclusive_group()
    effort.add_argument("--quick", action="store_true", help="less than two minutes: does each part run at all")
    effort.add_argument("--long", action="store_true", help="more rounds, larger backlogs, and what else costs")
    parser.add_argument("--resume", action="store_true", help="leave out what is measured already of this commit")
    parser.add_argument("--json", dest="as_json", action="store_true", help="the figures as one JSON object")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="where to write the page (default: docs; .local with --quick)"
    )
    options = parser.parse_args(arguments)
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
