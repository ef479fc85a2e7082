"""How it is plugged together: settings, urls, jobs and the way in. It imports the apps; no app imports it."""

from flex.celery import app as celery_app

__all__ = ["celery_app"]
