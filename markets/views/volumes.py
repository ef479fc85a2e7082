"""Files of delivered volumes: the list, and each file as it was built."""

import re

from django.http import Http404, HttpRequest, HttpResponse

from aggregator.core.permissions import Action
from aggregator.site.filters import day_filter
from aggregator.site.paging import page_of
from aggregator.site.views import PageView
from markets.models import DeliveredVolumeFile
from markets.queries import delivered_files_seen_by
from markets.services.allocation import published_bytes

ROWS_A_PAGE = 40


class Volumes(PageView):
    """``?day=`` a settlement date, ``?page=``."""

    action = Action.SEE_VOLUMES

    def get(self, request: HttpRequest) -> HttpResponse:
        day = day_filter(request, "day")
        files = delivered_files_seen_by(self.viewer.organisation).defer("content")
        files = files.select_related("organisation", "superseded_by").order_by("-settlement_date", "-pk")
        page = page_of(request, files.filter(settlement_date=day) if day else files, n=ROWS_A_PAGE)
        context = {
            "page": page,
            "rows": [{"file": file, "is_superseded": hasattr(file, "superseded_by")} for file in page.rows],
            "day": day.isoformat() if day else "",
        }
        return self.page("markets/volumes.html", context)


class VolumeDownload(PageView):
    """One file, byte for byte as it was built: sending it again is sending these bytes."""

    action = Action.SEE_VOLUMES
    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest, volume_file: int) -> HttpResponse:  # noqa: ARG002 - Django's signature
        seen = delivered_files_seen_by(self.viewer.organisation)
        found = seen.select_related("organisation").filter(pk=volume_file).first()
        if found is None:
            raise Http404("There is no such file, or it is not yours to read.")
        return volume_response(found)


def volume_response(file: DeliveredVolumeFile) -> HttpResponse:
    """A file's bytes with their SHA-256 as ETag.

    Raises:
        FileAltered: the stored bytes are not those that were built.
    """
    response = HttpResponse(published_bytes(file), content_type="text/plain; charset=us-ascii")
    response.headers["Content-Disposition"] = f'attachment; filename="{file_name(file)}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["ETag"] = f'"{file.sha256}"'
    return response


def file_name(file: DeliveredVolumeFile) -> str:
    """A name every file system takes."""
    code = re.sub(r"[^A-Za-z0-9._-]+", "-", file.organisation.code)
    return f"P0282002_{code}_{file.settlement_date:%Y%m%d}_{file.sequence:010d}.txt"
