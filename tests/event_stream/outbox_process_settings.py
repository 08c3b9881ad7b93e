"""For relays in processes of their own: the topic and the type of the binder come from the environment."""

from environs import env

from service_kit.logging import logging_config
from tests.event_stream.settings import *  # noqa: F403
from tests.event_stream.settings import KAFKA_BOOTSTRAP_SERVERS

LOGGING = logging_config("INFO", "json")

EVENT_STREAM = {
    "binders": {"only": {"type": env.str("OUTBOX_BINDER", "kafka"), "bootstrap_servers": KAFKA_BOOTSTRAP_SERVERS}},
    "bindings": {"outboundWidgets": {"destination": env.str("OUTBOX_TOPIC")}},
}
EVENT_STREAM_OUTBOX = {"batch_size": 50, "election_interval_s": 0.1}
