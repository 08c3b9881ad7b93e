"""Secrets in the repository: whatever detect-secrets takes for one, and .secrets.baseline does not know.

In the root of the checkout: `python -m devstack.secret_scan [FILE …]`; all tracked files, unless some are named.
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from detect_secrets.core import baseline
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

_BASELINE = ".secrets.baseline"
_ADVICE = """\
A secret that has been committed is to be changed. What is none gets the comment `pragma: allowlist secret` on its line,
or goes into the baseline: .venv/bin/detect-secrets scan --baseline .secrets.baseline"""


def unknown_secrets(files: Sequence[str]) -> list[str]:
    """One line each: where it is and what it looks like, without the secret itself."""
    known = baseline.load_from_file(_BASELINE)
    found = SecretsCollection()
    with transient_settings({"plugins_used": known["plugins_used"], "filters_used": known["filters_used"]}):
        found.scan_files(*files)
    return sorted(f"{name}:{secret.line_number}: {secret.type}" for name, secret in found - baseline.load(known))


def main(files: Sequence[str]) -> int:
    if not files:
        listed = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True)
        files = [name for name in listed.stdout.splitlines() if Path(name).is_file()]
    if found := unknown_secrets(files):
        print("\n".join([*found, _ADVICE]))
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
