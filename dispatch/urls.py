"""Addresses of the control room's pages."""

from django.urls import path, register_converter
from django.urls.converters import PathConverter

from dispatch.views.network import Network, Node


class NodeCode(PathConverter):
    """Any code a node may have, with slashes too; no longer one, and no character a database cannot keep."""

    regex = r"[^\x00]{1,80}"


register_converter(NodeCode, "node_code")

app_name = "dispatch"
urlpatterns = [
    path("network/", Network.as_view(), name="network"),
    path("network/<node_code:code>/", Node.as_view(), name="node"),
]
