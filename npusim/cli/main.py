"""Entry point: runs the app and turns what went wrong into one line and an exit code.

0: done. 2: the user's mistake, told in one line on stderr. 1: a bug, with its traceback. 130: interrupted.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from typer.exceptions import Abort, TyperException

from npusim.errors import UserError


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run ``npusim`` with ``argv`` (default: the process's) and exit."""
    from npusim.cli.app import app

    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that leaves (head, less) ends us quietly
    gc.disable()  # a command makes many small objects that live to its end: collecting them costs a fifth of a run
    # OpenVINO does without: a command sends nothing, and the tenth of OpenVINO's import that this takes is saved.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = app(args=arguments or ["--help"], prog_name="npusim", standalone_mode=False)
    except TyperException as error:
        _fail(error.format_message())
    except UserError as error:
        _fail(str(error))
    except (Abort, KeyboardInterrupt):
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
