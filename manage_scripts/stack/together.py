"""Several processes started or stopped at once."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from manage_scripts.stack.process import SupervisedProcess

Announce = Callable[[str], None]


def start_together(processes: Sequence[SupervisedProcess], announce: Announce = lambda _text: None) -> None:
    """Return when every one is ready. If one fails, all are stopped and its failure is raised."""

    def start(process: SupervisedProcess) -> None:
        process.start()
        announce(f"{process.name} is up")

    with ExitStack() as started:
        started.callback(stop_together, processes)
        with ThreadPoolExecutor(max(1, len(processes))) as pool:
            # list() raises the first failure; the others have finished starting by the end of the `with`.
            list(pool.map(start, processes))
        started.pop_all()


def stop_together(processes: Sequence[SupervisedProcess]) -> None:
    with ThreadPoolExecutor(max(1, len(processes))) as pool:
        list(pool.map(lambda process: process.stop(), processes))
