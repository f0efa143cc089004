"""Documents of strangers in, outputs out: what is read is bounded, what is written appears whole or not at all."""

from npusim.files.reading import (
    MOST_TRACE_BYTES,
    exists,
    parse_json,
    read_bytes,
    read_records,
    read_table,
    read_text,
    unpacked,
)
from npusim.files.writing import all_or_nothing, new_file, new_files, spreadsheet_cell

__all__ = [
    "MOST_TRACE_BYTES",
    "all_or_nothing",
    "exists",
    "new_file",
    "new_files",
    "parse_json",
    "read_bytes",
    "read_records",
    "read_table",
    "read_text",
    "spreadsheet_cell",
    "unpacked",
]
