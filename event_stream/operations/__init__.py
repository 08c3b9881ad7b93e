"""What runs and how it fares, and what a person may do about it: the "Operations" pages of the Django admin.

Each worker, relay and web process writes a row about itself every few seconds and a few figures every minute, and reads
which partitions a person has paused. Installing the app is all that workers and relays need; a web process calls
`report_web_process` once it has its application.
"""
