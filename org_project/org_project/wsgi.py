"""The WSGI application that gunicorn serves. Works from any directory."""

import os
import sys
from pathlib import Path

from django.conf import settings

from service_kit.wsgi import get_application

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "org_project.settings")

application = get_application()

# Import these after the applications are loaded: the relay uses their models, and logging is set up.
from event_stream.operations.web import report_web_process  # noqa: E402
from event_stream.outbox.relay import start_embedded_relay  # noqa: E402
from service_kit.auth import log_auth_mode  # noqa: E402

log_auth_mode(settings.AUTH)
report_web_process()
start_embedded_relay()
