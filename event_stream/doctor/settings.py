"""The settings are right: Django's own system checks, those of this package among them."""

from collections.abc import Iterator

from django.core import checks

from event_stream.doctor.finding import Finding, failed, ok, warning


def check() -> Iterator[Finding]:
    found = checks.run_checks()
    for message in found:
        make = failed if message.is_serious() else warning
        yield make("settings", f"{message.msg} ({message.id})", message.hint or "correct the setting")
    if not found:
        yield ok("settings", "no system check complains")
