"""`manage.py consume_org_changes [--once | --until-caught-up]`"""

import dataclasses
import gc
import logging
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from event_stream import signals
from event_stream.conf import Binding
from event_stream.consumer.error_handler import RecordErrorHandler
from event_stream.consumer.group_watch import GroupWatch
from event_stream.consumer.shutdown import stop_on_signals
from event_stream.consumer.worker import StopCondition, Worker
from event_stream.dead_letters import DeadLetterPublisher, dead_letter_channel, error_handler_for
from event_stream.errors import ConfigurationError, TooManyDeadLettersError, UnavailableError
from event_stream.fenced_cache import FencedCache, LogInvalidator, QueueInvalidator
from event_stream.messaging.channel import Channel, registry
from event_stream.terminal import TerminalCommand
from organization_lookup import lookup
from organization_lookup.handlers import OrganizationChangeDecoder, id_of_key
from organization_lookup.settings import ConsumerLimits
from service_kit.settings.refresh_scope import on_change

logger = logging.getLogger(__name__)

BINDING = "inboundOrgChanges"
_ASK_AGAIN_S = 1.0
_CLOSE_TIMEOUT_S = 1.0


class Command(TerminalCommand):
    help = (
        "Applies organization changes to the cache until SIGTERM or SIGINT. Any number may run: they share the topic. "
        "Where the platform can't seek, or the organization service gives no versions, it evicts only: a cached "
        "organization is then read again after ORGANIZATION_MAX_STALENESS_S. Exit code: 0 if it was stopped or is "
        "done, 1 after a permanent error."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        until = parser.add_mutually_exclusive_group()
        until.add_argument(
            "--once",
            dest="until",
            action="store_const",
            const=StopCondition.ONCE,
            help="end when each partition has handled a batch or has nothing to read",
        )
        until.add_argument(
            "--until-caught-up",
            dest="until",
            action="store_const",
            const=StopCondition.CAUGHT_UP,
            help="end when all is handled that was there at the start",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = stop_on_signals()
        signals.command_started.send(type(self), role="worker")
        # What is loaded by now stays to the end. To look through it once more then would be a fifth of a second of work
        # of the two seconds in which a stopped worker has to be gone.
        gc.freeze()
        channel = registry().channel(BINDING)
        try:
            if not _partitions_agree(channel, stop):
                return
        finally:
            # It was connected for this question only: a worker sends nothing.
            channel.close(_CLOSE_TIMEOUT_S)
        cache = lookup.current().cache
        if not _claim(cache, stop):
            return
        _look_for_dead_letter_destination(channel.binding)
        error_handler = error_handler_for(channel.binding)
        worker, until = Worker(BINDING, _handler(channel, error_handler)), options["until"] or StopCondition.STOPPED
        _follow_limits(worker, error_handler)
        ended = threading.Event()
        if until is StopCondition.STOPPED:
            binder = registry().binder(channel.binding.binder)
            GroupWatch(channel.binding, binder, reading=lambda: worker.reading).start(ended)
        try:
            worker.run(stop.is_set, until)
        except (ConfigurationError, TooManyDeadLettersError) as error:
            raise CommandError(str(error)) from error
        finally:
            ended.set()
            _retire(cache)


def _follow_limits(worker: Worker, error_handler: RecordErrorHandler) -> None:
    """Have both follow CONSUMER_LIMITS, which a refresh may change."""

    def configure(limits: ConsumerLimits) -> None:
        worker.configure(dataclasses.replace(worker.binding.consumer, **dataclasses.asdict(limits)))
        if isinstance(error_handler, DeadLetterPublisher):
            error_handler.limit = limits.dead_letter_limit

    on_change("CONSUMER_LIMITS", configure)
    # It may have changed since the binding was made.
    configure(settings.CONSUMER_LIMITS)


def _handler(channel: Channel, error_handler: RecordErrorHandler) -> LogInvalidator | QueueInvalidator:
    """What the platform and the organization service allow for. By default, a log keeps entries fresh; where there is
    none, or not every change is known to be in it, no entry is fresh beyond its own age."""
    current = lookup.current()
    cache, decode = current.cache, OrganizationChangeDecoder(channel.binding, versioned=current.versioned)
    if channel.capabilities.seekable and current.versioned:
        return LogInvalidator(cache, decode, id_of_key=id_of_key, error_handler=error_handler)
    reason = "the binder can't seek" if current.versioned else "the organization service gives no versions"
    logger.warning(
        "cache.max_staleness_is_ttl",
        extra={
            "binder": channel.binding.binder,
            "max_staleness_s": cache.settings.max_staleness_s,
            "reason": f"{reason}: a cached organization is read again after max_staleness_s, which is also how stale "
            "it can be",
        },
    )
    return QueueInvalidator(cache, decode, id_of_key=id_of_key, error_handler=error_handler)


def _partitions_agree(channel: Channel, stop: threading.Event) -> bool:
    """Return False if stopped before the broker answered. The number of partitions is part of the cache's keys."""
    expected = settings.ORG_CHANGE_PARTITIONS
    waiting = False
    while not stop.is_set():
        try:
            actual = channel.partition_count()
        except UnavailableError as error:
            if not waiting:
                logger.warning("broker.unreachable", extra={"error": str(error)})
                waiting = True
            stop.wait(_ASK_AGAIN_S)
            continue
        if actual != expected:
            raise CommandError(
                f"ORG_CHANGE_PARTITIONS is {expected}, but the topic {channel.binding.destination} has {actual} "
                f"partitions: set it to {actual} for the worker and the web processes alike, or make the topic anew."
            )
        return True
    return False


def _claim(cache: FencedCache, stop: threading.Event) -> bool:
    """Return False if stopped while workers with other settings were there: two kinds would undo each other's work."""
    waiting = False
    while not stop.is_set():
        try:
            others = cache.claim()
            if others is not None and cache.shared.differing(others) == {"partitions"}:
                # Ours has just been compared with the topic. Those that have another number are wrong by now, and stop.
                others = cache.claim(take_over=True)
        except UnavailableError:
            # The worker waits for Redis, and claims it then.
            return True
        if others is None:
            return True
        if not waiting:
            logger.error(
                "worker.other_settings",
                extra={
                    "error": cache.shared.difference(others),
                    "remedy": f"{lookup.REMEDY}; or stop the other workers, then this one goes on by itself",
                },
            )
            waiting = True
        stop.wait(_ASK_AGAIN_S)
    return False


def _retire(cache: FencedCache) -> None:
    try:
        cache.retire()
    except UnavailableError as error:
        # Workers with other settings wait a little longer then.
        logger.info("worker.not_retired", extra={"error": str(error)})


def _look_for_dead_letter_destination(binding: Binding) -> None:
    """It is needed only once a message can't be read: evictions do not wait for it, but somebody should be told now."""
    if not binding.consumer.dead_letters:
        return
    channel = dead_letter_channel(binding)
    try:
        channel.partition_count()
    except UnavailableError as error:
        remedy = "./manage_scripts/create_topics makes the topic; until then a message that can't be read waits"
        extra = {"destination": channel.binding.destination, "error": str(error), "remedy": remedy}
        logger.warning("dead_letters.unreachable", extra=extra)
    finally:
        channel.close(_CLOSE_TIMEOUT_S)
