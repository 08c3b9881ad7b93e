"""The verbs: one module a command, run by the script of the same name in `manage_scripts/`."""
