"""Hardware files: their schema, and how they are found, read, checked and printed."""

from npusim.hardware.check import check, doubts
from npusim.hardware.dump import dump, json_schema
from npusim.hardware.errors import HardwareError
from npusim.hardware.files import shipped
from npusim.hardware.load import load_hardware
from npusim.hardware.platforms import file_of, files_of, names_of
from npusim.hardware.schema import Hardware

__all__ = [
    "Hardware",
    "HardwareError",
    "check",
    "doubts",
    "dump",
    "file_of",
    "files_of",
    "json_schema",
    "load_hardware",
    "names_of",
    "shipped",
]
