"""The binders and channels of this process, made from the setting when they are first asked for."""

import os
import threading
from typing import cast

from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from event_stream import conf
from event_stream.binder import Binder
from event_stream.channel import Channel
from event_stream.errors import ConfigurationError

TYPES = {
    "kafka": "event_stream.binders.kafka.KafkaBinder",
    "memory": "event_stream.binders.memory.MemoryBinder",
    "rabbitmq": "event_stream.binders.rabbitmq.RabbitBinder",
    "redis": "event_stream.binders.redis.RedisBinder",
}
CLOSE_TIMEOUT_S = 2.0


def make_binder(settings: conf.BinderSettings) -> Binder:
    """A binder of its own. Raises ConfigurationError with the path of what is wrong."""
    path = f"{conf.SETTING}['binders'][{settings.name!r}]"
    dotted = TYPES.get(settings.type, settings.type)
    try:
        made = import_string(dotted)(settings.name, settings.properties)
    except ImportError as error:
        known = ", ".join(map(repr, TYPES))
        should_be = f"it should be one of {known} or the dotted path of a Binder"
        raise ConfigurationError(f"{path}['type'] is {settings.type!r}; {should_be} ({error})") from error
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}{error}") from error
    return cast(Binder, made)


class Registry:
    """One for each process: a connection does not survive a fork."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._binders: dict[str, Binder] = {}
        self._channels: dict[str, Channel] = {}

    def binder(self, name: str) -> Binder:
        with self._lock:
            if name not in self._binders:
                binders = conf.configuration().binders
                if name not in binders:
                    known = ", ".join(map(repr, sorted(binders)))
                    raise ConfigurationError(f"{conf.SETTING}['binders'] has no {name!r}; it has {known}")
                self._binders[name] = make_binder(binders[name])
            return self._binders[name]

    def channel(self, binding_name: str) -> Channel:
        """The channel of a binding. Raises ConfigurationError when there is no such binding."""
        with self._lock:
            if binding_name not in self._channels:
                binding = conf.configuration().binding(binding_name)
                self._channels[binding_name] = Channel(binding, self.binder(binding.binder))
            return self._channels[binding_name]

    def close(self) -> None:
        """Send what is under way and disconnect; all is made anew when it is asked for again."""
        with self._lock:
            channels = list(self._channels.values())
            self._channels.clear()
            self._binders.clear()
        for channel in channels:
            channel.close(CLOSE_TIMEOUT_S)


_registry = Registry()


def registry() -> Registry:
    """This process' own."""
    return _registry


def _begin_anew() -> None:
    global _registry  # noqa: PLW0603 - the one of the parent process is left as it is, with the parent's sockets
    _registry = Registry()


def _forget(*, setting: str, **_: object) -> None:
    if setting == conf.SETTING:
        _registry.close()


os.register_at_fork(after_in_child=_begin_anew)
setting_changed.connect(_forget, dispatch_uid="event_stream.registry")
