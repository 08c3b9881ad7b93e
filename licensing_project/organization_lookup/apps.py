"""How the licensing service comes by the organizations, which belong to another service."""

from django.apps import AppConfig, apps
from django.utils.translation import gettext_lazy as _

from event_stream.errors import UnavailableError
from organization_lookup.settings import LookupSettings
from service_kit import health
from service_kit.settings.refresh_scope import on_change


class OrganizationLookupConfig(AppConfig):
    name = "organization_lookup"
    verbose_name = _("Organization lookup")

    def ready(self) -> None:
        health.register("shared settings", _check_shared_settings)
        health.register("freshness", _check_freshness)
        on_change("ORGANIZATION_LOOKUP", _configure)
        if apps.is_installed("event_stream.metrics"):
            from organization_lookup import metrics  # noqa: PLC0415 - it needs the app

            metrics.register()
        if apps.is_installed("event_stream.operations"):
            from organization_lookup import operations  # noqa: PLC0415 - it needs the app

            operations.register()


def _configure(options: LookupSettings) -> None:
    from organization_lookup import lookup  # noqa: PLC0415 - as below

    lookup.configure(options)


def _check_shared_settings() -> None:
    """A process with other settings than the worker's could only ask past the cache. Raises NotReady or NotChecked."""
    # Settings are not complete when this module is imported.
    from organization_lookup import lookup  # noqa: PLC0415

    try:
        difference = lookup.current().cache.disagreement()
    except UnavailableError as error:
        # Without Redis nothing is fresh, and lookups are answered all the same.
        raise health.NotChecked(str(error)) from error
    if difference is not None:
        raise health.NotReady(f"{difference}. {lookup.REMEDY}.")


def _check_freshness() -> None:
    """Raises Degraded where entries are no longer fresh by the log, and lookups ask the organization service."""
    from organization_lookup import lookup  # noqa: PLC0415 - as above

    if not lookup.has_log():
        return
    cache = lookup.current().cache
    try:
        marks = [cache.watermark(partition) for partition in range(cache.keys.partitions)]
    except UnavailableError as error:
        raise health.NotChecked(str(error)) from error
    oldest_ms = cache.clock.now_ms() - cache.settings.max_staleness_s * 1000
    late = [mark for mark in marks if mark is None or not cache.is_own(mark) or mark.as_of_ms < oldest_ms]
    if late:
        limit_s = cache.settings.max_staleness_s
        raise health.Degraded(
            f"{len(late)} of {len(marks)} partitions of the log have not been applied within {limit_s:g} s: lookups "
            "there ask the organization service"
        )
