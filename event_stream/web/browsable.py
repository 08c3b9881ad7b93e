"""DRF's browsable API, for pages on which no script may stand between the tags."""

from rest_framework.renderers import BrowsableAPIRenderer


class BrowsableAPI(BrowsableAPIRenderer):
    """DRF's own *Log out* is a link with a script in it, which a Content-Security-Policy forbids: this is a button."""

    template = "event_stream/api.html"
