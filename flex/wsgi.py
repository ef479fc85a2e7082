"""The site for a WSGI server; it starts no database: `manage.py serve` does, before the server."""

import os
import threading

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flex.settings")

application = get_wsgi_application()


def sweep_in_process() -> threading.Thread:
    """Do due jobs beside the site, where no broker wakes a worker; one that dies with it is leased again later."""
    from aggregator.management.commands.run_jobs import do_until  # needs the apps to be there

    thread = threading.Thread(target=do_until, args=(threading.Event(),), name="jobs", daemon=True)
    thread.start()
    return thread


if not settings.CELERY_BROKER_URL:
    sweep_in_process()
