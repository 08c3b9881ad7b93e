"""Figures of the operations pages that need no database: rates, buckets, and what a chart draws."""

from datetime import UTC, datetime, timedelta

import pytest

from event_stream.errors import ConfigurationError
from event_stream.operations.charts import HEIGHT, WIDTH, drawn
from event_stream.operations.counts import Capped
from event_stream.operations.series import Combine, Point, Series, bucket, thinned
from event_stream.operations.settings import operations_settings
from event_stream.operations.templatetags.operations import duration, number
from event_stream.operations.workers import Rate

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
SPAN = timedelta(hours=1)
LAG = Series("lag", "Lag")


def points(*values: float, spacing: timedelta = timedelta(minutes=1)) -> list[Point]:
    first = NOW - spacing * (len(values) - 1)
    return [Point(first + spacing * place, value) for place, value in enumerate(values)]


def test_a_rate_is_the_growth_within_its_window() -> None:
    rate = Rate(window_s=10)
    assert rate.per_s(100, 0.0) == 0.0, "one count is no rate"
    assert rate.per_s(150, 5.0) == 10.0
    assert rate.per_s(150, 10.0) == 5.0
    assert rate.per_s(150, 15.0) == 0.0, "what came before the window is forgotten"


def test_samples_of_all_processes_fall_into_the_same_buckets() -> None:
    assert bucket(NOW + timedelta(seconds=59), 60) == bucket(NOW, 60) == NOW
    assert bucket(NOW + timedelta(seconds=60), 60) == NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        (Series("gauge", ""), [1.5, 3.5, 5.0]),
        (Series("count", "", counted=True), [3.0, 7.0, 5.0]),
        (Series("greatest", "", combine=Combine.MAX), [2.0, 4.0, 5.0]),
    ],
)
def test_a_chart_has_a_limited_number_of_points_that_still_say_the_truth(series: Series, expected: list[float]) -> None:
    assert [point.value for point in thinned(points(1, 2, 3, 4, 5), 3, series)] == expected


def test_a_chart_is_drawn_from_its_oldest_point_to_now_and_from_nothing_to_its_greatest() -> None:
    chart = drawn(LAG, points(0, 5, 10), NOW, timedelta(minutes=2))
    assert chart.lines == [f"2.0,{HEIGHT - 2:.1f} {WIDTH / 2:.1f},{HEIGHT / 2:.1f} {WIDTH - 2:.1f},2.0"]
    assert (chart.latest, chart.least, chart.greatest) == (10, 0, 10)


def test_a_line_breaks_where_nothing_was_recorded() -> None:
    earlier = [Point(point.at - timedelta(minutes=20), point.value) for point in points(1, 2, 3)]
    assert len(drawn(LAG, [*earlier, *points(4, 5, 6)], NOW, SPAN).lines) == 2
    assert len(drawn(LAG, points(4), NOW, SPAN).lines) == 1, "a single point is seen"


def test_a_chart_of_nothing_and_one_of_zeros_divide_by_nothing() -> None:
    assert (drawn(LAG, [], NOW, SPAN).lines, drawn(LAG, [], NOW, SPAN).latest) == ([], None)
    assert f",{HEIGHT - 2:.1f}" in drawn(LAG, points(0, 0), NOW, SPAN).lines[0]


def test_numbers_and_times_are_written_for_people() -> None:
    assert [number(value) for value in (None, 0, 1234567, 0.25, 12.345)] == ["-", "0", "1,234,567", "0.25", "12.3"]
    assert [duration(value) for value in (None, -1, 3.21, 90, 3600, 86_400, 864_000)] == [
        "-",
        "0.0 s",
        "3.2 s",
        "90 s",
        "60 min",
        "24 h",
        "10 d",
    ]
    assert [str(Capped(99_999)), str(Capped(100_000, more=True))] == ["99,999", "100,000+"]


def test_a_wrong_setting_names_its_key(settings: object) -> None:
    settings.EVENT_STREAM_OPERATIONS = {"retention_days": 0, "sampling": 1}  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=r"\['retention_days'\] is 0.*\['sampling'\] is not known"):
        operations_settings()
