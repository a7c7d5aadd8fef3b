"""The app's place in Django."""

from django.apps import AppConfig


class CatalogueConfig(AppConfig):
    """Collections, batches, programs and learner profiles."""

    name = "catalogue"
    verbose_name = "Collections, batches, programs and learner profiles"
