"""Step 2 on the system database: messages, events, streams; children, deadlines, forks and attributes."""

from __future__ import annotations

from django.db import migrations

from durably_django.operations import ApplyStep


class Migration(migrations.Migration):
    """Nothing on other aliases than the system database's."""

    dependencies = (("durably_django", "0001_initial"),)
    operations = (ApplyStep(2),)
