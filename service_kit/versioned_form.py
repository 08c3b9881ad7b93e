"""A form of the admin that overwrites no change which was made since it was opened, like If-Match in the API."""

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError

# Generic for the type checker only: Django's own class takes no parameter.
if TYPE_CHECKING:
    from django_stubs_ext import StrOrPromise

    ModelForm = forms.ModelForm[Any]
else:
    ModelForm = forms.ModelForm


class VersionedForm(ModelForm):
    """For a model with a field `version` that each write changes. List `seen_version` among the admin's fields."""

    changed_meanwhile: "ClassVar[StrOrPromise]"
    """What to say to the person whose form is out of date."""

    seen_version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.fields["seen_version"].initial = self.instance.version

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.instance._state.adding:
            # The admin's view is one transaction: the row stays locked until it is saved.
            rows = type(self.instance)._default_manager.select_for_update().filter(pk=self.instance.pk)
            if rows.values_list("version", flat=True).first() != cleaned.get("seen_version"):
                raise ValidationError(self.changed_meanwhile, code="changed_meanwhile")
        return cleaned
