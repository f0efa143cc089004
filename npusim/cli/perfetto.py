"""``npusim trace open``: a trace in Perfetto, which fetches it from this machine; it goes nowhere else."""

from __future__ import annotations

import http.server
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from npusim.errors import UserError

_UI = "https://ui.perfetto.dev"
#: The only port of this machine that Perfetto's page may read from.
_PORT = 9001


def open_trace(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A trace, or a report folder.  [default: the newest run's]"),
    ] = Path("npusim-out/latest"),
    browser: Annotated[bool, typer.Option(help="Open a browser, too.")] = True,
) -> None:
    """Open a trace in Perfetto: print the link, and serve the file to it, once."""
    trace = trace_in(file)
    try:
        server = _Server(trace)
    except OSError as error:
        raise UserError(
            f"port {_PORT} cannot be opened ({error.strerror}): is another trace being opened?"
        ) from None
    with server:
        link = f"{_UI}/#!/?url=http://127.0.0.1:{_PORT}/{trace.name}"
        print(f"{link}\nserves {trace} until it is fetched; Ctrl-C ends it", flush=True)
        if browser:
            webbrowser.open(link)
        while not server.fetched:
            server.handle_request()


def trace_in(file: Path) -> Path:
    """The trace that is meant: the file itself, or that of a report folder."""
    for one in (file, file / "trace.json", file / "trace.json.gz"):
        if one.is_file():
            return one
    raise UserError(f"{file}: no trace there; npusim run writes one")


class _Server(http.server.HTTPServer):
    """Serves one file to Perfetto's page, and says when it has."""

    def __init__(self, trace: Path) -> None:
        self.trace, self.fetched = trace, False
        super().__init__(("127.0.0.1", _PORT), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """The trace; nothing else is there."""
        if self.path != f"/{self.server.trace.name}":
            self.send_error(404)
            return
        content = self.server.trace.read_bytes()
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", _UI)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.server.fetched = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""
