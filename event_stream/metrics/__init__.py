"""Metrics in Prometheus' format, and the port with the probes of a worker or a relay.

Install the app `event_stream.metrics`: its receivers count what the event layer does. Decision 0077 says what is
counted and what is computed when it is asked for.
"""
