"""Orders, which tell of each change; and one way of writing that does not."""

from typing import Any

from django.db import models

from event_stream import Message, source

orders = source("outboundOrders")


class Order(models.Model):
    paid = models.BooleanField(default=False)

    class Meta:
        app_label = "shop"

    def __str__(self) -> str:
        return f"order {self.pk}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)
        orders.send(Message({"order": self.pk, "action": "PAID" if self.paid else "MADE"}, key=str(self.pk)))
