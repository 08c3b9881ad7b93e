"""Each part of the benchmarks runs and finds right answers; how fast they were is nobody's affair here."""

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks.run import PARTS
from devstack.environment import ROOT


@pytest.mark.timeout(900)
def test_each_part_is_measured_and_written(tmp_path: Path) -> None:
    argv: list[str | Path] = [ROOT / "benchmarks" / "run", "--quick", "--json", "--output", tmp_path, *PARTS]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=880, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads(done.stdout)["parts"]
    figures = [figure for part in parts for figure in part["figures"]]
    assert [part["part"] for part in parts if part["figures"]] == list(PARTS)
    for figure in figures:
        for series in figure["series"]:
            assert min(series["samples"]) > 0, (figure["title"], series)
    page = (tmp_path / "performance.md").read_text()
    picture = ElementTree.parse(tmp_path / "pictures" / "performance.svg").getroot()
    drawn = {text for element in picture.iter() if (text := element.text)}
    for figure in figures:
        assert f"### {figure['title']}" in page
        assert f"{figure['title']} ({figure['unit']})" in drawn
