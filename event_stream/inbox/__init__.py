"""The inbox: a message that is delivered again changes the database once. Django app "event_stream.inbox".

    sink = Sink(binding, Idempotent(binding, bill))

`Idempotent` is imported from `event_stream.inbox.idempotent`, once Django's apps are ready.
"""
