"""Runs a module of this project as a command, in the virtual environment: `launch.py devstack.commands.run [options]`.

However it ends, a person reads a sentence at most. Exit codes beside the command's own: 1 if something failed, 130
after Ctrl-C, 141 if its output went into a pipe that nobody reads any more.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

_LOOPBACK = ("127.0.0.1", "localhost")


def main(module: str) -> int:
    # `bootstrap` has it ignored. While modules are loaded it ends the process without a word.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # In place of the folder of this file.
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    _pass_by_proxies()
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415 - not before the path leads there

    from devstack.errors import StackError  # noqa: PLC0415
    from event_stream.terminal import checked_output  # noqa: PLC0415

    del sys.argv[0]
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with checked_output():
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:
        # A second one ends what is still being tidied up.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return 128 + signal.SIGINT
    except (StackError, ImproperlyConfigured) as error:
        return _failed(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        return _failed(f"{error.filename}: {error.strerror}.")
    return 0


def _pass_by_proxies() -> None:
    """Nothing here, nor what it starts, asks a proxy of the environment for what is on this machine."""
    # Some libraries read the one and some the other; those that read both prefer the first.
    names = ("no_proxy", "NO_PROXY")
    excepted = next(filter(None, map(os.environ.get, names)), "")
    for name in names:
        os.environ[name] = ",".join(filter(None, [excepted, *_LOOPBACK]))


def _failed(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
