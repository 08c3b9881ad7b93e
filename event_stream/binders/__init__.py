"""The platforms. Each binder imports its own client library, and nothing outside of its folder does."""
