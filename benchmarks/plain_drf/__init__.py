"""What lookup.py compares with: the licensing service's lookup as a good Django developer usually writes it.

The same table, the same JSON, a model viewset with a serializer, the organization as a dictionary in Django's cache on
the same Redis, persistent connections everywhere. It evicts nothing: an entry lives for five minutes.
"""
