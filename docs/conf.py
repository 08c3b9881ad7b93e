"""The site of the documents, for ./manage_scripts/docs. The pages are Markdown that is read in the repository, too."""

project = "Two services, one truth"
author = "the authors of this repository"
html_title = project

extensions = ["myst_parser", "devstack.source_pages"]
# The root of the sources is that of the repository, so that a relative link means the same here and there.
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/**.md",
    "deploy/**.md",
    "event_stream/*.md",
    "examples/*/*.md",
    "licensing_project/*.md",
    "service_kit/*.md",
]
exclude_patterns = [".*", "build", "dist", "*.egg-info", "**/__pycache__"]

# Anchors as GitHub makes them; a link to one that is not there is a warning, and a warning fails the build.
myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
# To open the folder of the site is to open its first page, which is in `docs/`.
html_additional_pages = {"index": "start.html"}
templates_path = ["_templates"]
pygments_style = "friendly"
pygments_dark_style = "native"
