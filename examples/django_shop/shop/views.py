"""Placing an order, and looking what became of it."""

from __future__ import annotations

from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

import durably
from examples.django_shop.shop.models import Order
from examples.django_shop.shop.workflows import checkout


@csrf_exempt
@require_POST
def place(_request: HttpRequest, order_id: str, sku: str, quantity: int) -> HttpResponse:
    """The order and the start of its workflow are one commit. Sent twice, it is one order all the same."""
    with transaction.atomic():
        # Writes before it reads: where a transaction has read, SQLite refuses a write at once if another is writing.
        Order.objects.bulk_create([Order(order_id=order_id, sku=sku, quantity=quantity)], ignore_conflicts=True)
        with durably.workflow_options(workflow_id=order_id):
            durably.start_workflow(checkout, order_id)
    return JsonResponse({"order": order_id}, status=202)


async def show(_request: HttpRequest, order_id: str) -> HttpResponse:
    """Waits for the outcome."""
    return JsonResponse({"order": order_id, "outcome": await durably.aio.get_result(order_id, timeout_seconds=30)})
