"""One file a figure, each with what it is compared with in the same run: see docs/performance.md."""
