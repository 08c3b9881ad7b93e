"""What gunicorn serves. Works from any directory."""

import os
import sys
from pathlib import Path

from django.conf import settings

from service_kit.auth import log_auth_mode
from service_kit.wsgi import get_application

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "licensing_project.settings")

application = get_application()

# Import it after the applications are loaded: it uses their models.
from event_stream.operations.web import report_web_process  # noqa: E402

log_auth_mode(settings.AUTH)
report_web_process()
