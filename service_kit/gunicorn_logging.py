"""A logger class for gunicorn (`logger_class`) that writes in the format of the services' own log."""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from gunicorn.config import Config  # type: ignore[import-untyped]
from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from event_stream import user_context


class EventLogger(Logger):  # type: ignore[misc]
    """Sends everything to the root logger, which `logconfig_dict` configures, with one `http.request` line per request.

    gunicorn's own class computes 60 to 100 values for each request as soon as `logconfig_dict` is set, for its format
    string to choose from. Here only `accesslog` turns the line on, and only the logged values are computed.
    """

    def setup(self, cfg: Config) -> None:
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
        # Write the access log at any LOG_LEVEL.
        self.access_log.setLevel(logging.INFO)

    def _compute_access_log_enabled(self) -> bool:
        return self.cfg.accesslog is not None

    # gunicorn's own lines may hold a whole request.

    def debug(self, msg: str, *args: Any, **kwargs: Any) -> None:
        super().debug(msg, *map(_without_content, args), **kwargs)

    def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
        super().exception(msg, *map(_without_content, args), **kwargs)

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> None:
        if not self.access_log_enabled:
            return
        correlation_id = next((value for name, value in resp.headers if name == user_context.CORRELATION_ID), None)
        self.access_log.info(
            "http.request",
            extra={
                "correlation_id": correlation_id,
                "method": environ["REQUEST_METHOD"],
                # Without the query, which may hold tokens.
                "path": environ["RAW_URI"].partition("?")[0],
                "status": int(str(resp.status).split(maxsplit=1)[0]),
                "bytes": resp.sent,
                "duration_s": round(request_time.total_seconds(), 4),
                "client": environ.get("REMOTE_ADDR", ""),
                "user_agent": environ.get("HTTP_USER_AGENT", ""),
            },
        )


def _without_content(value: Any) -> Any:
    """An address without its query, an error by its name: its text may repeat what could not be read."""
    if isinstance(value, BaseException):
        return type(value).__name__
    return value.partition("?")[0] if isinstance(value, str) else value
