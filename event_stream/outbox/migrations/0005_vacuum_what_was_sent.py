from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("event_stream_outbox", "0004_name_the_processes_and_the_request")]

    operations = [
        # Each entry is updated once, when it is published, and its old version is dead from then on. By default a table
        # of ten million entries would be vacuumed after two million of these. Free space in the pages (fillfactor)
        # would not help: the update changes an indexed column, so it is never a heap-only one.
        migrations.RunSQL(
            """
            ALTER TABLE event_stream_outbox SET (
                autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_scale_factor = 0.02,
                autovacuum_analyze_threshold = 10000, autovacuum_analyze_scale_factor = 0.02
            )
            """,
            """
            ALTER TABLE event_stream_outbox RESET (
                autovacuum_vacuum_threshold, autovacuum_vacuum_scale_factor,
                autovacuum_analyze_threshold, autovacuum_analyze_scale_factor
            )
            """,
        )
    ]
