"""The catalogue's own tables, filled by `load_catalogue`. Other apps ask `catalogue.api` and never see a model.

Ids are plain text and no foreign keys: a batch may be loaded before its collection, or without it.
"""

from django.db import models

from common.ids import MAX_ID_LENGTH


class Collection(models.Model):
    """A collection with its tree; loaded itself, or found as a child course in the tree of another."""

    collection_id = models.CharField(primary_key=True, max_length=MAX_ID_LENGTH)
    name = models.TextField(blank=True)
    description = models.TextField(blank=True)
    logo = models.TextField(blank=True, help_text="Address of the picture (appIcon).")
    status = models.TextField(blank=True, help_text="Live, Retired, ...")
    channel = models.TextField(blank=True, help_text="Root organisation that owns it.")
    content_type = models.TextField(blank=True)
    primary_category = models.TextField(blank=True)
    leaf_nodes_count = models.IntegerField(null=True, blank=True, help_text="As published, optional ones too.")
    version_key = models.TextField(blank=True)
    hierarchy = models.JSONField(default=dict, help_text="The tree, cut to what progress needs.")
    parent_id = models.CharField(  # noqa: DJ001 - NULL is "loaded itself", which no id can mean
        max_length=MAX_ID_LENGTH,
        null=True,
        blank=True,
        verbose_name="known from",
        help_text="The collection in whose tree it was found; empty when it was loaded itself.",
    )
    updated_at = models.DateTimeField(help_text="When a load last changed it (UTC).")

    class Meta:
        """Listed by id."""

        ordering = ("collection_id",)

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} ({self.collection_id})"


class Batch(models.Model):
    """A batch of one collection or of one program, never of both."""

    batch_id = models.CharField(primary_key=True, max_length=MAX_ID_LENGTH)
    collection_id = models.CharField(  # noqa: DJ001 - NULL is "of the other kind"
        max_length=MAX_ID_LENGTH, null=True, blank=True, db_index=True
    )
    program_id = models.CharField(  # noqa: DJ001 - NULL is "of the other kind"
        max_length=MAX_ID_LENGTH, null=True, blank=True, db_index=True
    )
    name = models.TextField(blank=True)
    status = models.IntegerField(null=True, blank=True, help_text="0 upcoming, 1 ongoing, 2 ended.")
    enrollment_type = models.TextField(blank=True, help_text="open or invite-only.")
    start_date = models.DateField(null=True, blank=True, help_text="First day.")
    end_date = models.DateField(null=True, blank=True, help_text="Last day.")
    enrollment_end_date = models.DateField(null=True, blank=True, help_text="Last day to enrol.")
    created_for = models.JSONField(default=list, blank=True, help_text="Root organisations it was made for.")

    class Meta:
        """Listed by id."""

        ordering = ("batch_id",)
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} ({self.batch_id})"


class Program(models.Model):
    """Several collections that are taken together, in this order."""

    program_id = models.CharField(primary_key=True, max_length=MAX_ID_LENGTH)
    name = models.TextField(blank=True)
    start_date = models.DateField(null=True, blank=True, help_text="First day.")
    end_date = models.DateField(null=True, blank=True, help_text="Last day.")
    collections = models.JSONField(default=list, blank=True, help_text="Collection ids in order.")

    class Meta:
        """Listed by id."""

        ordering = ("program_id",)

    def __str__(self) -> str:
        return f"{self.name or 'unnamed'} ({self.program_id})"


class Learner(models.Model):
    """What reports print of one learner. No progress is kept here."""

    user_id = models.CharField(primary_key=True, max_length=MAX_ID_LENGTH)
    first_name = models.TextField(blank=True)
    last_name = models.TextField(blank=True)
    email = models.TextField(blank=True)
    phone = models.TextField(blank=True)
    state = models.TextField(blank=True)
    district = models.TextField(blank=True)
    org_name = models.TextField(blank=True, verbose_name="organisation")
    root_org_id = models.TextField(blank=True, verbose_name="root organisation id", help_text="The channel.")
    school_name = models.TextField(blank=True)
    school_udise_code = models.TextField(blank=True, verbose_name="school UDISE code")
    block = models.TextField(blank=True)
    cluster = models.TextField(blank=True)
    user_type = models.TextField(blank=True)
    user_sub_type = models.TextField(blank=True)
    board = models.TextField(blank=True)

    class Meta:
        """Listed by id."""

        ordering = ("user_id",)

    def __str__(self) -> str:
        return f"{self.first_name} {self.last_name} ({self.user_id})"


class Fetch(models.Model):
    """When something of the catalogue was last fetched from the service that owns it. Nothing where it was loaded."""

    class Kind(models.TextChoices):
        """What was asked for; `entry_id` is its id, or the collection's whose batches were listed."""

        COLLECTION = "collection"
        BATCH = "batch"
        BATCHES_OF = "batches of", "Batches of a collection"
        LEARNER = "learner"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    entry_id = models.CharField(max_length=MAX_ID_LENGTH)
    fetched_at = models.DateTimeField(help_text="When the service last answered (UTC).")
    found = models.BooleanField(help_text="Off: the service no longer knows it; the last answer is kept.")

    class Meta:
        """Listed by kind and id."""

        ordering = ("kind", "entry_id")
        verbose_name_plural = "fetches"
        constraints = (models.UniqueConstraint(fields=("kind", "entry_id"), name="catalogue_fetch_once"),)

    def __str__(self) -> str:
        return f"{self.kind} {self.entry_id}"
