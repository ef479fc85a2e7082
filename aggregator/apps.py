from django.apps import AppConfig


class AggregatorConfig(AppConfig):
    name = "aggregator"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from aggregator.site import lock_out  # noqa: F401 - listens for failed log-ins; django-axes, before it, counts
