"""The setting EVENT_STREAM_METRICS, typed."""

import re
from dataclasses import dataclass

from event_stream.conf import own_setting

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@]+):(\d{1,5})")
_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Each field is a key of EVENT_STREAM_METRICS; all may be left out."""

    probes: str = ""
    """`host:port` on which a worker or a relay answers probes and Prometheus; nowhere if it is left out. Port 0 is any
    free one: the log line `probes.listening` says which."""
    stuck_after_s: float = 300.0
    """A loop that has not turned for so long is stuck, and its process not live. A batch must not take longer."""

    @property
    def address(self) -> tuple[str, int] | None:
        if not self.probes:
            return None
        host, _, port = self.probes.rpartition(":")
        return host.strip("[]"), int(port)


_DEFAULT = MetricsSettings()


def metrics_settings() -> MetricsSettings:
    """Read the setting. Raises ConfigurationError, which names every wrong key."""
    with own_setting("EVENT_STREAM_METRICS") as reader:
        probes = reader.text("probes")
        match = _ADDRESS.fullmatch(probes)
        if probes and (match is None or int(match[2]) > 65535):
            reader.wrong("probes", f"is {probes!r}; it should be host:port, such as 0.0.0.0:9100")
        return MetricsSettings(probes, reader.number("stuck_after_s", _DEFAULT.stuck_after_s, maximum=_DAY_S))
