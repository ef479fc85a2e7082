"""A cap on files sent to pages, kept while they arrive: no form that forgets to look at a size fills the disk."""

from typing import Any

from django.core.files.uploadhandler import FileUploadHandler, StopUpload

MAX_BYTES = 8 * 2**20
READ_ON_BYTES = 64 * 2**20  # read and thrown away, so that who sent a bit too much gets an answer


class UploadCap(FileUploadHandler):
    """Keep ``MAX_BYTES`` of a request's files and no more; ``was_cut(request)`` tells."""

    def __init__(self, request: Any = None) -> None:
        super().__init__(request)
        self._n_byte = 0

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes | None:  # noqa: ARG002
        self._n_byte += len(raw_data)
        if self._n_byte <= MAX_BYTES:
            return raw_data
        if self.request is not None:
            self.request.upload_was_cut = True  # type: ignore[attr-defined]
        if self._n_byte > READ_ON_BYTES:
            raise StopUpload(connection_reset=True)
        return None

    def file_complete(self, file_size: int) -> None:  # noqa: ARG002 - the next handler keeps the file
        return None


def was_cut(request: Any) -> bool:
    """Whether a request's files were more than is taken; then what arrived is of no use."""
    return getattr(request, "upload_was_cut", False)
