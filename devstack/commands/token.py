"""Print a token for the services of ./manage_scripts/run: ./manage_scripts/token --role USER

Without a role a token is good for reading; USER may write, ADMIN may delete as well. Nothing else is printed on
standard output, so that it can stand in a command line:

    curl -H "Authorization: Bearer $(./manage_scripts/token --role USER)" http://127.0.0.1:8081/v1/organization
"""

import argparse
import re
from pathlib import Path

from devstack.issuer import AUDIENCE, load_issuer
from devstack.run_state import DEFAULT_DATA, ISSUER

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def main() -> int:
    options = _options()
    issuer = load_issuer(options.data.resolve() / ISSUER)
    print(issuer.token(*options.role, lifetime_s=options.lifetime, sub=options.subject, aud=options.audience))
    return 0


def _options() -> argparse.Namespace:
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="token",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--role", action="append", default=[], choices=("USER", "ADMIN"), help="may be given twice (default: none)"
    )
    parser.add_argument("--subject", default="developer", metavar="NAME", help="who calls (default: developer)")
    parser.add_argument(
        "--lifetime", type=_seconds, default=3600, metavar="TIME", help="such as 90s, 30m, 8h, 7d (default: 1h)"
    )
    parser.add_argument(
        "--audience", default=AUDIENCE, metavar="NAME", help=f"what the token is good for (default: {AUDIENCE})"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=DEFAULT_DATA, help="of the run (default: .local/run)"
    )
    return parser.parse_args()


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([1-9]\d{0,8})([smhd])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 90s, 30m, 8h or 7d")
    return int(match[1]) * _UNITS_S[match[2]]


if __name__ == "__main__":
    raise SystemExit(main())
