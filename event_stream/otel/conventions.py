"""The names of OpenTelemetry's semantic conventions for messaging, version 1.45. They are not stable yet.

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/
"""

SCHEMA_URL = "https://opentelemetry.io/schemas/1.45.0"

SYSTEM = "messaging.system.name"
OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
PARTITION = "messaging.destination.partition.id"
GROUP = "messaging.consumer.group.name"
MESSAGE_COUNT = "messaging.batch.message_count"
CONVERSATION_ID = "messaging.message.conversation_id"
"""The correlation id."""
ERROR_TYPE = "error.type"

SEND, RECEIVE, PROCESS = "send", "receive", "process"
"""Names and types of the operations alike."""
