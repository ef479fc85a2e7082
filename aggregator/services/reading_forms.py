"""What the stamps and values of an upload mean, as its sender or the product it is for says."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils.module_loading import import_string

from aggregator.core.reading_form import (
    Convention,
    Granularity,
    InvalidReadingForm,
    Metering,
    Quantity,
    ReadingForm,
    Stamp,
    form_of,
)


@dataclass(frozen=True, slots=True)
class AskedForm:
    """What a sender says of an upload; None is left out.

    Attributes:
        convention: which way import counts, and what is stamped unless ``stamp`` or the product says.
        product: code of a product, whose version in force says granularity and stamp in place of the sender.
    """

    convention: Convention
    granularity: Granularity | None = None
    quantity: Quantity | None = None
    stamp: Stamp | None = None
    product: str | None = None


def stated_form(asked: AskedForm, *, now: datetime) -> ReadingForm:
    """The form an upload is in.

    Raises:
        InvalidReadingForm: nobody sends such a form, or the sender says beside a product what the product says.
    """
    if asked.product is None:
        return form_of(asked.convention, asked.granularity or "half-hour", asked.quantity, asked.stamp)
    if asked.granularity or asked.stamp:
        raise InvalidReadingForm(
            f"granularity and stamp are those of product {asked.product}, expected without them", field="product"
        )
    # By name: a product stands two floors up.
    metering_of: Callable[..., Metering] = import_string(settings.PRODUCT_METERING)
    metering = metering_of(code=asked.product, now=now)
    return form_of(asked.convention, metering.granularity, asked.quantity, metering.stamp)
