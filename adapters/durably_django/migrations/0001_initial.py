"""The first tables: step 1 on the system database, completion rows on the databases apart."""

from __future__ import annotations

from django.db import migrations

from durably_django.operations import ApplyStep, CreateCompletionTable


class Migration(migrations.Migration):
    """Nothing on other aliases than those that ``DURABLY`` names."""

    initial = True
    dependencies = ()
    operations = (ApplyStep(1), CreateCompletionTable())
