"""How much memory and time a model may take while OpenVINO reads it: in proportion to its files.

Reading computes what is constant, and a file of a hundred bytes can hold a constant of any size (the numbers up to
10^10, a matrix of one value) and any number of operations with it. Linux keeps the process from taking more than a
bound, other systems do not; the time is judged from the shapes of what will be computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from math import prod
from pathlib import Path
from typing import Any

from npusim.errors import UserError
from npusim.graph.onnx_dims import outside_files

#: Masks and tables of positions, computed for the longest prompts, are a tenth of it.
ROOM_BYTES = 1 << 30
#: Weights of 4 bits that are widened to 32.
MOST_COPIES = 8
#: Elements that are computed: some seconds of one core, and for every stored byte what widens two weights of 4 bits.
ROOM_ELEMENTS, MOST_PER_BYTE = 1 << 27, 16
#: Multiplications that take the time of an element, about.
_PRODUCTS = 64


@contextmanager
def room_to_read(path: Path) -> Iterator[None]:
    """Let the block take ROOM_BYTES and MOST_COPIES times the bytes of the model at ``path``, whatever else is in
    memory. Raises UserError where it needs more."""
    room = ROOM_BYTES + MOST_COPIES * _stored_bytes(path)
    try:
        with _at_most(room):
            yield
    except Exception as error:
        if not _for_memory(error):
            raise
        raise UserError(
            f"{path}: reading it takes more than {room / (1 << 30):.1f} GiB, which is far more than it stores: it "
            "computes a constant of that size; smaller ranges and shapes, or inputs with --shape or --dim, need less"
        ) from error


def check_constants(model: Any, path: Path) -> None:
    """Raise UserError where computing the constants of an openvino.Model takes more than some seconds."""
    known: set[str] = set()
    elements = 0
    for node in model.get_ordered_ops():
        sources = [value.get_node().get_name() for value in node.input_values()]
        if node.get_type_name() == "Constant" or (sources and known.issuperset(sources)):
            known.add(node.get_name())
            elements += _computed(node) if sources else 0
    if elements > (most := ROOM_ELEMENTS + MOST_PER_BYTE * _stored_bytes(path)):
        raise UserError(
            f"{path}: constants of {elements:,} elements would be computed, and no model of its size has more than "
            f"{most:,}: smaller ranges and shapes, or inputs with --shape or --dim, need less"
        )


def _computed(node: Any) -> int:
    """The elements that a node reads or makes, whichever are more; of a product also what it sums."""
    most = max(_elements(port) for port in (*node.input_values(), *node.outputs()))
    if node.get_type_name() != "MatMul":
        return most
    left = node.input_value(0).get_partial_shape()
    inner = left[len(left) - (2 if node.get_attributes()["transpose_a"] else 1)].get_max_length()
    return max(most, _elements(node.output(0)) * inner // _PRODUCTS)


def _elements(port: Any) -> int:
    """Elements of a tensor; 0 where its shape is not known."""
    shape = port.get_partial_shape()
    return prod(shape.to_shape()) if shape.is_static else 0


def _for_memory(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that there was no more memory."""
    return error is not None and (
        isinstance(error, MemoryError) or "std::bad_alloc" in str(error) or _for_memory(error.__cause__)
    )


def _stored_bytes(path: Path) -> int:
    """The bytes of a model's files: all of a folder, or those of one name (.xml and .bin), and what an ONNX file
    names."""
    named = path.parent.glob(f"{escape(path.stem)}.*")
    try:
        found = {path, *path.rglob("*")} if path.is_dir() else {path, *named, *outside_files(path)}
        return sum(one.stat().st_size for one in found if one.is_file())
    except OSError:
        return 0


@contextmanager
def _at_most(room: int) -> Iterator[None]:
    """Bound what the process may take while the block runs; nothing where the system cannot."""
    taken = _data_bytes()
    if not taken:
        yield
        return
    import resource  # of Unix

    before = resource.getrlimit(resource.RLIMIT_DATA)
    bound = min((taken + room, *(one for one in before if one != resource.RLIM_INFINITY)))
    resource.setrlimit(resource.RLIMIT_DATA, (bound, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _data_bytes() -> int:
    """What the process holds of what RLIMIT_DATA counts; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmData:")), 0)
