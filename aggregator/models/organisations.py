"""Who takes part: DSRSPs, DNOs, market operators, and the people who act for them."""

from django.conf import settings
from django.db import models


class Organisation(models.Model):
    class Kind(models.TextChoices):
        DSRSP = "dsrsp", "Demand side response service provider"
        DNO = "dno", "Distribution network operator"
        MARKET_OPERATOR = "market_operator", "Market operator"
        PLATFORM = "platform", "Platform"

    code = models.SlugField(unique=True, max_length=50)
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=Kind)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["dsrsp", "dno", "market_operator", "platform"]),
                name="organisation_kind_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """What one person may do for one organisation."""

    class Role(models.TextChoices):
        OPERATOR = "operator", "Aggregator operator"
        ADMIN = "admin", "Aggregator admin"
        CONTROL_ROOM_OPERATOR = "control_room_operator", "Control-room operator"
        CONTROL_ROOM_SUPERVISOR = "control_room_supervisor", "Control-room supervisor"
        MARKET_OPERATOR = "market_operator", "Market operator"
        AUDITOR = "auditor", "Auditor (read only)"
        PLATFORM_ADMIN = "platform_admin", "Platform admin"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=30, choices=Role)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "organisation"], name="membership_once")]

    def __str__(self) -> str:
        return f"{self.user} as {self.get_role_display()} of {self.organisation}"
