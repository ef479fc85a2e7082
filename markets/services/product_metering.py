"""How a product asks for its readings: found by name from the floor that takes them in (``flex/settings.py``)."""

from datetime import datetime
from typing import cast

from aggregator.core.reading_form import Granularity, Metering, Stamp
from markets.models import Product
from markets.services.events import UnknownProduct


def product_metering(*, code: str, now: datetime) -> Metering:
    """Granularity and stamp of the product's version in force.

    Raises:
        UnknownProduct: no version of it is in force.
    """
    product = Product.objects.filter(code=code, valid_from__lte=now).order_by("-version").first()
    if product is None:
        raise UnknownProduct(f"no product {code!r} is in force", field="product", value=code)
    return Metering(cast(Granularity, product.granularity), cast(Stamp, product.timestamp_convention))
