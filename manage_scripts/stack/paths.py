"""Where things are: the checkout, and its `.local/`, which holds everything that is made here and never committed."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / ".local"
