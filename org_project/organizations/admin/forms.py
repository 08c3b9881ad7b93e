"""Forms of the admin."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from organizations.models import Organization
from organizations.validators import EMAIL_LENGTH, NAME_LENGTH, PHONE_LENGTH, validate_one_line, validate_phone

# Generic for the type checker only: Django's own class takes no parameter.
if TYPE_CHECKING:
    ModelForm = forms.ModelForm[Organization]
else:
    ModelForm = forms.ModelForm


class OrganizationForm(ModelForm):
    """Refuses to write over a change that was made since the form was opened, like If-Match in the API."""

    seen_version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    class Meta:
        model = Organization
        fields = ("name", "contact_name", "contact_email", "contact_phone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            self.fields["seen_version"].initial = self.instance.version

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.instance._state.adding:
            # The admin's view is one transaction: what is locked here stays as it is until it is saved.
            rows = Organization.objects.select_for_update().filter(pk=self.instance.pk)
            current = rows.values_list("version", flat=True).first()
            if current != cleaned.get("seen_version"):
                raise ValidationError(
                    _("Somebody else has changed this organization since you opened it. Open it again."),
                    code="changed_meanwhile",
                )
        return cleaned


class ContactForm(forms.Form):
    """A contact for several organizations; what is left empty stays as it is."""

    contact_name = forms.CharField(
        label=_("Contact name"), max_length=NAME_LENGTH, required=False, validators=[validate_one_line]
    )
    contact_email = forms.EmailField(
        label=_("Contact e-mail"), max_length=EMAIL_LENGTH, required=False, validators=[validate_one_line]
    )
    contact_phone = forms.CharField(
        label=_("Contact phone"), max_length=PHONE_LENGTH, required=False, validators=[validate_phone]
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors and not any(cleaned.values()):
            raise ValidationError(_("Fill in at least one of them."), code="nothing_to_do")
        return cleaned
