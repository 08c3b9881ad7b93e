"""License lookups with a cached organization: how many, and whether each run gets as many as the next.

All web servers run under gunicorn with deploy/gunicorn/gunicorn.conf.py on the same PostgreSQL and Valkey. Ours checks
a token in each request, proves how fresh its answers are and is told of changes. The plain way (benchmarks/plain_drf)
asks for no token and keeps an organization for five minutes, come what may. The empty view (benchmarks/empty_view.py)
is what Django and gunicorn cost by themselves.
"""

from contextlib import ExitStack
from functools import partial

from benchmarks import load
from benchmarks.figures import Figure, Ratio, paired
from benchmarks.http_load import Request
from benchmarks.load import Contestant
from benchmarks.measure import interleaved
from benchmarks.stage import Stage, port_of, start_all
from benchmarks.variants import series
from devstack.nginx import Nginx, NginxMissing

JAVA = "Measured elsewhere: the book's Spring Boot service, warm, 4,770 to 5,080 lookups/s, p99 17 ms (commit 7168224)."


def measure(stage: Stage) -> list[Figure]:
    rounds, seconds, warm_up_s = stage.pick(2, 5, 9), stage.pick(1, 3, 5), stage.pick(1, 3)
    platform = stage.services()
    customers = stage.customers(stage.pick(10, 200))
    requests = [customer.look_up(stage.read_headers()) for customer in customers]
    plain = stage.gunicorn("plain DRF", "benchmarks.plain_drf.wsgi", plain_settings(stage))
    empty = stage.gunicorn("empty view", "benchmarks.empty_view", {})
    beside = [stage.server("PostgreSQL"), stage.server("Valkey")]
    with ExitStack() as stack:
        start_all(stack, plain, empty)
        contestants = [
            Contestant("ours", platform.licensing[0], port_of(platform.licensing_urls[0]), requests, beside),
            Contestant("plain DRF", plain.process, plain.port, requests, beside),
            Contestant("empty Django view", empty.process, empty.port, [Request("GET", requests[0].path)]),
        ]
        for contestant in contestants:
            contestant.warm_up(warm_up_s)
        stage.announce("lookups")
        played = interleaved({each.name: partial(each.play, seconds) for each in contestants}, rounds)
    ours, drf, django = (series(name, of) for name, of in played.items())
    return [
        Figure(
            "License lookup, cached",
            "lookups/s",
            [ours, drf, django],
            [paired("ours / empty view", ours, django, ">= 0.55"), paired("ours / plain DRF", ours, drf, ">= 2.5")],
            [f"{load.CONNECTIONS} kept-open connections; load by {load.generator()}.", JAVA],
        )
    ]


def plain_settings(stage: Stage) -> dict[str, str]:
    """Of the plain service: it keeps nothing of its own in the databases, and trusts everybody."""
    platform = stage.services()
    settings = {**platform.licensing_settings, "REDIS_URL": stage.redis_url(2)}
    # It asks only once for each organization, and sends this token with it.
    return settings | {"PLAIN_AUTHORIZATION": stage.read_headers().get("Authorization", "")}


def spread(stage: Stage) -> list[Figure]:
    """The same lookups, each run over new connections: none may find all of them at one process."""
    runs, seconds = stage.pick(3, 20), stage.pick(1, 2)
    platform = stage.services()
    licensing = port_of(platform.licensing_urls[0])
    requests = [customer.look_up(stage.read_headers()) for customer in stage.customers(stage.pick(10, 200))]
    contestants = [Contestant("direct", platform.licensing[0], licensing, requests)]
    notes = []
    with ExitStack() as stack:
        try:
            nginx = Nginx(
                stage.folder / "nginx", organization_port=port_of(platform.organization_url), licensing_port=licensing
            )
        except NginxMissing as error:
            notes.append(f"Not measured through nginx: {error}")
        else:
            stack.enter_context(nginx)
            through = [Request("GET", f"/license{each.path}", each.expected, headers=each.headers) for each in requests]
            contestants.append(Contestant("through nginx", platform.licensing[0], nginx.port, through))
        for contestant in contestants:
            contestant.warm_up(stage.pick(1, 3))
        stage.announce(f"{runs} runs each")
        played = interleaved({each.name: partial(each.play, seconds) for each in contestants}, runs)
    rows = [series(name, of) for name, of in played.items()]
    ratios = [Ratio(f"{row.name}: least / median", [min(row.samples) / row.median], ">= 0.8") for row in rows]
    return [Figure(f"Spread of {runs} runs with {load.CONNECTIONS} connections", "lookups/s", rows, ratios, notes)]
