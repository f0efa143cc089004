"""Workers of a Dask cluster."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from npusim import __version__
from npusim.errors import UserError

#: Seconds that a Dask scheduler has to answer.
_ANSWER_S = 10
_ADDRESS = re.compile(r"((tcp|tls|ws|wss|ucx)://)?[\w.\-\[\]:%]+:\d{1,5}/?\Z")


@contextmanager
def cluster_executor(address: str) -> Iterator[tuple[Executor, int]]:
    """An executor of the cluster at ``address``, and its threads. Raises UserError where none answers there, or one of
    another version."""
    try:
        from distributed import Client
    except ImportError:
        raise UserError("--cluster needs the package distributed: pip install distributed") from None
    _hush()
    if not _ADDRESS.match(address):
        raise UserError(f"--cluster {address}: not an address of a scheduler, as in tcp://10.0.0.1:8786")
    try:
        client = Client(address, timeout=_ANSWER_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        said = str(error).partition("\n")[0]
        raise UserError(f"--cluster {address}: no Dask scheduler answers there ({said})") from None
    with client:
        for worker, version in client.run(_version).items():
            if version != __version__:
                raise UserError(
                    f"--cluster {address}: worker {worker} has npusim {version}, not {__version__}"
                )
        threads = sum(client.nthreads().values())
        if not threads:
            raise UserError(
                f"--cluster {address}: the cluster has no workers; start some with 'dask worker {address}'"
            )
        yield client.get_executor(pure=False), threads


def _hush() -> None:
    """Dask's log says in pages what the error of a command says in a line."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _version() -> str:
    """The version of npusim on a worker, or why there is none."""
    try:
        import npusim
    except ImportError as error:
        return f"missing ({error})"
    return npusim.__version__
