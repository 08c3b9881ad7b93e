"""A Sphinx extension: a link from a document to a file that is no document leads to a page that shows it."""

import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.environment import BuildEnvironment

_FOLDER = "source"
_BEFORE_THE_COLLECTORS = 100
"""Else Sphinx copies each file, to be downloaded."""


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", _link_to_pages, priority=_BEFORE_THE_COLLECTORS)
    app.connect("env-purge-doc", _forget)
    app.connect("html-collect-pages", _pages)
    # What is linked is collected in one process.
    return {"parallel_read_safe": False, "parallel_write_safe": True}


def _linked(environment: BuildEnvironment) -> dict[str, set[str]]:
    """The paths of files, relative to the root, by the document that links to them."""
    if not hasattr(environment, "source_pages"):
        environment.source_pages = {}  # type: ignore[attr-defined]
    linked: dict[str, set[str]] = environment.source_pages  # type: ignore[attr-defined]
    return linked


def _forget(_app: Sphinx, environment: BuildEnvironment, document: str) -> None:
    _linked(environment).pop(document, None)


def _link_to_pages(app: Sphinx, doctree: nodes.document) -> None:
    document = app.env.docname
    for node in list(doctree.findall(addnodes.download_reference)):
        path = posixpath.normpath(posixpath.join(posixpath.dirname(document), node["reftarget"]))
        _linked(app.env).setdefault(document, set()).add(path)
        uri = app.builder.get_relative_uri(document, f"{_FOLDER}/{path}")
        node.replace_self(nodes.reference("", "", *node.children, internal=True, refuri=uri))


def _pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    assert isinstance(app.builder, StandaloneHTMLBuilder)
    for path in sorted(set().union(*_linked(app.env).values())):
        text = (Path(app.srcdir) / path).read_text()
        try:
            lexer = get_lexer_for_filename(path)
        except ClassNotFound:
            lexer = TextLexer()
        code = app.builder.highlighter.highlight_block(text, lexer.aliases[0], linenos="inline", force=True)
        title = nodes.Text(path).astext()
        yield f"{_FOLDER}/{path}", {"title": title, "body": f'<h1 class="path">{title}</h1>\n{code}'}, "page.html"
