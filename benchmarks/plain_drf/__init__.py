"""What the services are compared with: the same lookup and the same PUT as a good Django developer usually writes them.

The same tables, the same JSON, model viewsets with serializers, an organization as a dictionary in Django's cache on
the same Redis, persistent connections everywhere. It evicts nothing: an entry lives for five minutes. Its PUT tells
nobody of the change.
"""
