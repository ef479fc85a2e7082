"""Products: stated once, with the rules they are measured and paid by; a changed rule is a new version."""

from datetime import datetime

from django.db import transaction
from django.forms.models import model_to_dict

from aggregator.models import Organisation
from aggregator.services.event_log import record_event
from markets.models import Product


def make_product(*, code: str, name: str, buyer: Organisation, valid_from: datetime) -> Product:
    """The first version of a product by the standard rules; asking again changes nothing."""
    with transaction.atomic():
        product, is_new = Product.objects.get_or_create(
            code=code, version=1, defaults={"name": name, "buyer": buyer, "valid_from": valid_from}
        )
        if is_new:
            record_event(
                action="product.made",
                subject=f"product {product}",
                organisation=buyer,
                after={**model_to_dict(product, exclude=["id", "buyer"]), "buyer": buyer.code},
                at=valid_from,
            )
    return product
