"""Build the site of the documents and show it until Ctrl-C: ./manage_scripts/docs

A broken link, a link to a heading that is not there, and a page that the navigation lacks are errors. It needs no
network.
"""

import argparse
import functools
import subprocess
import sys
from collections.abc import Sequence
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from devstack.environment import ROOT
from devstack.errors import StackError
from devstack.ports import port_argument, require_free

SITE = ROOT / ".local" / "docs"


def build(site: Path, *, sources: Path = ROOT) -> None:
    """Write the site's files. Raises StackError with a line for each fault."""
    argv = [sys.executable, "-m", "sphinx", "--quiet", "--fresh-env", "--fail-on-warning", "--no-color"]
    argv += ["--conf-dir", str(ROOT / "docs"), "--doctree-dir", str(site.parent / f"{site.name}.doctrees")]
    done = subprocess.run([*argv, str(sources), str(site)], cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise StackError(done.stderr.replace(f"{sources}/", "").strip() or done.stdout)


def main(arguments: Sequence[str]) -> int:
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="docs", description=description, epilog=epilog)
    parser.add_argument("--build", action="store_true", help="end when it is built; exit code 1 if something is wrong")
    parser.add_argument(
        "--port", type=port_argument, default=8070, help="where to show it on 127.0.0.1 (default: 8070)"
    )
    options = parser.parse_args(arguments)
    if not options.build:
        require_free(options.port, purpose="the documents", choose_with="--port")
    build(SITE)
    print(f"Built in {SITE.relative_to(ROOT)}", flush=True)
    if not options.build:
        handler = functools.partial(_Quiet, directory=str(SITE))
        with ThreadingHTTPServer(("127.0.0.1", options.port), handler) as server:
            print(f"http://127.0.0.1:{options.port}/docs/ until Ctrl-C", flush=True)
            server.serve_forever()
    return 0


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is for the address alone."""


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
