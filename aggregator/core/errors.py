"""The one family of anticipated failures."""

from typing import ClassVar

Detail = str | int | float | bool | None


class FlexError(Exception):
    """An anticipated failure: *asked, found, where*, with ids and units.

    Subclasses stand beside the function that raises them and set a stable ``code``; the facts
    a caller may want to act on are keyword arguments and come back in ``details``.
    """

    code: ClassVar[str] = "flex.error"

    def __init__(self, message: str, **details: Detail) -> None:
        super().__init__(message)
        self.message = message
        self.details: dict[str, Detail] = details

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"
