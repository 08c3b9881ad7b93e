"""docs/metrics.md has every metric, with the words that Prometheus is told."""

from prometheus_client.metrics import MetricWrapperBase

from devstack.environment import ROOT
from event_stream.metrics import names


def rows() -> list[str]:
    instruments = [metric for metric in vars(names).values() if isinstance(metric, MetricWrapperBase)]
    counted = [
        (
            metric._name + ("_total" if metric._type == "counter" else ""),
            metric._type,
            metric._labelnames,
            metric._documentation,
        )
        for metric in instruments
    ]
    computed = [(reading.name, "computed gauge", reading.labels, reading.help) for reading in names.READINGS]
    return [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {text} |"
        for name, kind, labels, text in [*counted, *computed]
    ]


def test_it_lists_every_metric_and_no_other() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    assert [line for line in text.splitlines() if line.startswith(("| `event_stream_", "| `http_"))] == rows()
