"""A cache in Redis that a log of changes keeps in step, with a bound on staleness that it can prove."""
