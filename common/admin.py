"""What the admin pages of several apps have in common."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

if TYPE_CHECKING:
    from django.db.models import Model

    _Base = admin.ModelAdmin[Model]
else:
    _Base = admin.ModelAdmin


class ReadOnly(_Base):
    """Rows to be looked at: something else writes them, and would undo or miss what is edited by hand."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never."""
        return False
