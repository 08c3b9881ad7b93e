"""For the tests of binders and of applications that use this package."""
