"""The project's pages."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from examples.django_shop.shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("orders/<str:order_id>/<str:sku>/<int:quantity>", views.place),
    path("orders/<str:order_id>", views.show),
]
