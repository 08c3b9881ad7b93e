"""Which platforms can be had on this machine, and what carries the messages where the usual one can't."""

import os

from manage_scripts.stack.errors import StackError
from manage_scripts.stack.jars import Progress, class_path
from manage_scripts.stack.rabbitmq import rabbitmq_program
from manage_scripts.stack.servers import BINDERS, USUAL
from manage_scripts.stack.wheels import java

STAND_IN = "redis"
"""Its server is in a wheel, like the cache's: it is there wherever anything of ours is."""


def fetch(binder: str, progress: Progress | None = None) -> None:
    """Have what the platform needs on this machine; nothing, where the environment names one of the person's own.

    Raises StackError where it can't be had.
    """
    if binder == "kafka" and not os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        java()
        class_path(progress)
    if binder == "rabbitmq" and not os.environ.get("RABBITMQ_URL"):
        rabbitmq_program()


def notice(error: StackError) -> str:
    """What the person is told when the stand-in takes over."""
    return (
        f"{BINDERS[USUAL]} can't be had here: {BINDERS[STAND_IN]} carries the messages instead "
        f"(--binder {USUAL} insists).\n{error}"
    )
