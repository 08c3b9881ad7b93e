"""./manage_scripts/docs refuses a site with a fault and names its place; ./manage_scripts/check builds the real one."""

from pathlib import Path

import pytest

from devstack.commands import docs
from devstack.errors import StackError

INDEX = """# Documents

[a page](missing.md) [a file](../missing.py) [a heading there](other.md#missing)
[a heading here](#missing) ![a picture](missing.svg)
[right](other.md#there) [code](../code.py)

```{toctree}
other
```
"""
FAULTS = [
    "docs/index.md:3: WARNING: 'myst' cross-reference target not found: '../missing.py' [myst.xref_missing]",
    "docs/index.md:3: WARNING: 'myst' cross-reference target not found: 'missing' [myst.xref_missing]",
    "docs/index.md:3: WARNING: 'myst' cross-reference target not found: 'missing.md' [myst.xref_missing]",
    "docs/index.md:3: WARNING: image file not readable: docs/missing.svg [image.not_readable]",
    "docs/index.md:3: WARNING: local id not found in doc 'docs/other': 'missing' [myst.xref_missing]",
    "docs/lost.md: WARNING: document isn't included in any toctree [toc.not_included]",
]


def test_broken_links_of_each_kind_are_named_and_a_page_without_a_place(tmp_path: Path) -> None:
    """All in one site: to start Sphinx takes longer than to build it."""
    sources, site = tmp_path / "sources", tmp_path / "site"
    pages = {"index.md": INDEX, "other.md": "# Other\n\n## There\n", "lost.md": "# Lost\n"}
    (sources / "docs").mkdir(parents=True)
    for name, text in pages.items():
        (sources / "docs" / name).write_text(text)
    (sources / "code.py").write_text("answer = 42\n")
    with pytest.raises(StackError) as error:
        docs.build(site, sources=sources)
    assert sorted(str(error.value).splitlines()) == FAULTS
    # A file that is no page is shown on one.
    assert 'href="../source/code.py.html"' in (site / "docs" / "index.html").read_text()
    assert '<span class="mi">42</span>' in (site / "source" / "code.py.html").read_text()
