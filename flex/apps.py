from django.apps import AppConfig

from flex import celery  # noqa: F401 - shared tasks find the application once Django is up


class FlexConfig(AppConfig):
    name = "flex"

    def ready(self) -> None:
        from flex import checks, view_checks, wall_checks  # noqa: F401 - registers the system checks once the apps are there
