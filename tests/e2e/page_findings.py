"""What is wrong with a page for its readers: at both widths, light and dark, by axe and by its width."""

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page

WIDTHS, SCHEMES = (1280, 360), ("light", "dark")
# Where axe looks; the width is checked in all four.
AXED = {(1280, "light"), (360, "dark")}


def findings(page: Page, *, but: frozenset[str] = frozenset()) -> list[str]:
    """What is wrong with the page that is open, at each width and in each scheme, but for these rules of axe."""
    found = []
    # Colours that change slowly would be judged half-way.
    page.add_style_tag(content="* { transition: none !important; animation: none !important }")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            wide = page.evaluate("document.documentElement.scrollWidth")
            if wide > width:
                found.append(f"{width}px {scheme}: {wide} px wide")
            if (width, scheme) in AXED:
                violations = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
                found += [
                    f"{width}px {scheme}: {violation['id']} at {violation['nodes'][0]['target']}"
                    for violation in violations
                    if violation["impact"] in {"serious", "critical"} and violation["id"] not in but
                ]
    return found
