"""Django's backend for PostgreSQL, with a health check of connections that asks the server only when it has to."""

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    """With `CONN_HEALTH_CHECKS`, Django sends `SELECT 1` before the first statement of each request.

    A server that ends a session says so, or closes the connection. Where nothing has come since the last statement, the
    connection is as good as that answer would prove: the server may end it right after either. A server that is gone
    without a word leaves both waiting for the network to give up.
    """

    def close_if_health_check_failed(self) -> None:
        if self.connection is not None and not self._has_heard():
            self.health_check_done = True
        super().close_if_health_check_failed()

    def _has_heard(self) -> bool:
        """Whether something has come from the server that nobody has read, the end of the connection included."""
        if self.connection.closed:
            return True
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN | select.POLLPRI)
        return bool(poll.poll(0))
