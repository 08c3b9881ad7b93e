"""What can go wrong in the event layer.

EventStreamError
├── ConfigurationError   a setting is wrong: an ImproperlyConfigured; the text names the key and what it should be
├── ConversionError      bytes that are no message of their content type: never right later, so never retried
├── RejectedError        a handler's word that this message can never be handled: never retried
├── UnavailableError     a server needed for the work can't be reached now: the same message is tried again
│   ├── RefusedError     it can be reached, and takes no writes now: its memory is full, or it is a replica
│   └── RetryError       a handler failed, and has attempts left for this message
├── HeldError            why a message is parked that comes after a parked one of its key
├── TooManyDeadLettersError   so many in a row that the fault must be elsewhere: the worker stops
└── PublishError         the platform did not acknowledge a message
    └── UnsendableError  and never will (too large, say): the message is parked
"""

from django.core.exceptions import ImproperlyConfigured


class EventStreamError(Exception):
    """The root of the tree."""


class ConfigurationError(EventStreamError, ImproperlyConfigured):
    """A setting is wrong. The text names the setting and says what it should be."""


class ConversionError(EventStreamError):
    """The bytes do not hold a message of the content type they claim."""


class RejectedError(EventStreamError):
    """A handler refuses a message for good; trying again can't help."""


class UnavailableError(EventStreamError):
    """A server needed to handle a message is away; the message is to be tried again."""


class RefusedError(UnavailableError):
    """A server answers, and refuses to do what it is asked for now; what only reads may go on."""


class RetryError(UnavailableError):
    """A handler failed with what may go right later. `attempt` is how often it has tried this message."""

    def __init__(self, text: str, attempt: int) -> None:
        super().__init__(text)
        self.attempt = attempt


class HeldError(EventStreamError):
    """The order of a key matters, and a message that came before this one is parked."""


class TooManyDeadLettersError(EventStreamError):
    """More messages in a row could not be handled than the binding allows; those before `offset` are parked."""

    def __init__(self, text: str, offset: int) -> None:
        super().__init__(text)
        self.offset = offset


class PublishError(EventStreamError):
    """The platform did not acknowledge a message; it may or may not be there."""


class UnsendableError(PublishError):
    """The platform refuses this message for good."""
