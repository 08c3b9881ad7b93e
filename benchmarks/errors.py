"""The one error of a benchmark: its message is a sentence for the person at the terminal."""


class BenchmarkError(Exception):
    """A part could not be measured, or what it measured gave a wrong answer."""
