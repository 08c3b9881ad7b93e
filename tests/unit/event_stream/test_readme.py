"""The example of the README does what it says."""

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[3] / "event_stream" / "README.md"


def test_the_example_runs(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[0]
    script = tmp_path / "example.py"
    script.write_text(code)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd=tmp_path, env={})
    sent, billing = done.stdout.splitlines()
    assert re.fullmatch(r"sent to partition \d offset 0", sent)
    assert re.fullmatch(r"billing \{'order': 1, 'total': '9.90'\} for customer-7 in [0-9a-f-]{36}", billing)
    assert done.stderr == ""
