"""Entry point: runs the app and turns what went wrong into one line and an exit code.

0: done. 2: the user's mistake or the machine's limit, told in one line on stderr. 1: a bug, with its traceback, or the
law of lowering that it breaks in one line. 130: interrupted; 143: terminated.
"""

from __future__ import annotations

import errno
import gc
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from typer.exceptions import Abort, TyperException

from npusim.cli.interrupt import answered, asked_code
from npusim.cli.terminal import ReaderLeft, clean_streams, discard_output
from npusim.errors import BrokenLaw, UserError
from npusim.size import about_time, telling
from npusim.text import one_line

#: Errors of the system that are limits of the machine, wherever they come up, and no bug.
_LIMITS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
           errno.EACCES, errno.EPERM, errno.ENAMETOOLONG}  # fmt: skip
_BUG, _MISTAKE, _INTERRUPTED = 1, 2, 130


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run ``npusim`` with ``argv`` (default: the process's) and exit."""
    gc.disable()  # a command makes many small objects that live to its end: collecting them costs a fifth of a run
    # OpenVINO does without: a command sends nothing, and the tenth of OpenVINO's import that this takes is saved.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    arguments = list(sys.argv[1:] if argv is None else argv)
    with clean_streams(), answered(), telling(_say_size):
        code = _run(arguments or ["--help"])
    sys.exit(code if asked_code() is None else asked_code())


def _run(arguments: list[str]) -> int:
    from npusim.cli.app import app

    try:
        code = app(args=arguments, prog_name="npusim", standalone_mode=False)
        sys.stdout.flush()
    except ReaderLeft:  # as if the pipe had ended us
        discard_output()
        if hasattr(signal, "SIGPIPE"):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            signal.raise_signal(signal.SIGPIPE)
        return 0
    except TyperException as error:
        return _told(error.format_message())
    except UserError as error:
        return _told(str(error))
    except (Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except MemoryError:
        return _told("out of memory: a smaller model (--layers, --tokens), or fewer --workers, needs less")
    except OSError as error:
        if error.errno not in _LIMITS:
            return _bug()
        where = f"{error.filename}: " if error.filename else ""
        return _told(f"{where}{error.strerror}")
    except BrokenLaw as error:
        print(f"bug: {one_line(str(error))}", file=sys.stderr)
        return _BUG
    except Exception:
        return _bug()
    return code if isinstance(code, int) else 0


def _say_size(tasks: int) -> None:
    print(f"note: {about_time(tasks)}", file=sys.stderr)


def _told(message: str) -> int:
    print(f"error: {one_line(message)}", file=sys.stderr)
    return _MISTAKE


def _bug() -> int:
    if asked_code() is None:  # else it is what a library makes of an interrupt
        traceback.print_exc()
    return _BUG
