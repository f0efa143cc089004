"""Hardware files: their schema, and how they are found, read, checked and printed."""

from npusim.hardware.check import check
from npusim.hardware.dump import dump, editor_schema, json_schema
from npusim.hardware.errors import HardwareError
from npusim.hardware.files import shipped, supposed
from npusim.hardware.load import load_hardware
from npusim.hardware.platforms import file_of, files_of, names_of
from npusim.hardware.scaffold import new_file
from npusim.hardware.schema import Hardware

__all__ = [
    "Hardware",
    "HardwareError",
    "check",
    "dump",
    "editor_schema",
    "file_of",
    "files_of",
    "json_schema",
    "load_hardware",
    "names_of",
    "new_file",
    "shipped",
    "supposed",
]
