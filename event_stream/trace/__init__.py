"""The trace of a change: what each service knows of it, put together.

The producer's part is the outbox itself. A consumer records a row for each batch, none for a message; a message is
found by where it lies. See README.md, *Following one change*.
"""
