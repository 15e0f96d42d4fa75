"""Durably's transactions through Django's ORM, and Durably as a part of a Django project.

    # settings.py
    INSTALLED_APPS += ["durably_django"]
    DURABLY = {"name": "shop"}

    # shop/workflows.py
    from durably import transaction, workflow

    @transaction
    def reserve(sku: str, quantity: int) -> int:
        item = Item.objects.select_for_update().get(sku=sku)
        item.stock -= quantity
        item.save()
        return item.stock

``manage.py migrate`` makes the tables, ``manage.py durably_worker`` executes the workflows. Outside a Django project's
settings, ``Durably("shop", adapters={"default": DjangoAdapter()})`` works as with any adapter.
"""

from __future__ import annotations

from durably_django.adapter import DjangoAdapter
from durably_django.asgi import asgi_lifespan
from durably_django.factory import from_url
from durably_django.process import executing

__all__ = ["DjangoAdapter", "asgi_lifespan", "executing", "from_url"]
