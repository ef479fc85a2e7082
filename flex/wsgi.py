"""The site for a WSGI server; it starts no database: `manage.py serve` does, before the server."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "flex.settings")

application = get_wsgi_application()
