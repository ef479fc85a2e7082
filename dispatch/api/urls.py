"""Addresses of this app's resources, under /api/v1/."""

from django.urls import path

from dispatch.api import explanations, plans, runs, setpoints

urlpatterns = [
    path("runs/", runs.Runs.as_view(), name="runs"),
    path("runs/<str:id>/", runs.RunDetail.as_view(), name="run"),
    path("runs/<str:id>/plan/", plans.RunPlan.as_view(), name="run_plan"),
    path("runs/<str:id>/requests/", plans.RunRequests.as_view(), name="run_requests"),
    path("runs/<str:id>/setpoints/", setpoints.RunSetpoints.as_view(), name="run_setpoints"),
    path(
        "runs/<str:id>/setpoints/<str:evse>/explanation/",
        explanations.SetpointExplanation.as_view(),
        name="setpoint_explanation",
    ),
]
