"""The shop's tables."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """As `makemigrations` wrote it."""

    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Item",
            fields=[
                ("sku", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("stock", models.IntegerField()),
                ("cents", models.IntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                ("order_id", models.CharField(max_length=40, primary_key=True, serialize=False)),
                ("sku", models.CharField(max_length=40)),
                ("quantity", models.IntegerField()),
                ("state", models.CharField(default="placed", max_length=20)),
                ("receipt", models.CharField(blank=True, max_length=80)),
            ],
        ),
    )
