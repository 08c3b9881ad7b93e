"""How ./manage_scripts/test divides the tests into pytest sessions, and what it learns from each."""
