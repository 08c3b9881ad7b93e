"""Other libraries that consume the same changes and evict the same keys, at their safest settings.

`programs/` holds a consumer for each, written as its documentation advises: an offset is committed only after the key
is gone. They run in a virtual environment of their own.
"""
