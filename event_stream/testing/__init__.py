"""For the tests of binders and of applications that use this package. All but `crash_points` needs pytest."""
