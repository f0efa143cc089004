"""Which language model is asked for: a name, a folder, a file, or a config.json."""

from __future__ import annotations

from pathlib import Path

from npusim.errors import UserError
from npusim.llm.built import built
from npusim.llm.calls import LanguageModel, Rewrite, as_it_is

_NARROW = "int4"
#: What optimum-intel writes, and what of a folder is taken, the first one that is there.
_EXPORTED = "openvino_model.xml"
_FOUND = (_EXPORTED, "config.json")


def find(
    text: str, weights: str | None = None, passes: str = "", rewrite: Rewrite = as_it_is
) -> LanguageModel:
    """The language model of ``text``: a published name, a config.json or a folder with one and no model in it, or a
    model file or folder of optimum-intel. ``weights`` are of what is built (int4 unless given), ``rewrite`` is done
    to its graphs, and ``passes`` names that.

    Raises UserError: nothing of that name, no language model, weights given to a file that has its own.
    """
    path = Path(text)
    if path.is_dir() and not any((path / name).is_file() for name in _FOUND):
        raise UserError(f"{text}: there is no {' or '.join(_FOUND)} in it")
    is_config = path.suffix == ".json" or (path.is_dir() and not (path / _EXPORTED).is_file())
    if path.exists() and not is_config:
        if weights is not None:
            raise UserError(
                f"--weights: {text} has weights of its own; it builds those of a config.json or a name only"
            )
        from npusim.llm.read import read

        return read(path, passes, rewrite)
    if path.exists():
        return configured(path, weights, passes, rewrite)
    return _published(text, weights, passes, rewrite)


def configured(
    path: Path, weights: str | None = None, passes: str = "", rewrite: Rewrite = as_it_is
) -> LanguageModel:
    """The language model of a config.json, or of the folder it is in. Raises UserError for one that cannot be built."""
    import npusim.workloads.llm

    try:
        config = npusim.workloads.llm.read_config(path)
    except ValueError as error:
        raise UserError(str(error)) from None
    return built(config, weights or _NARROW, passes, rewrite)


def _published(name: str, weights: str | None, passes: str, rewrite: Rewrite) -> LanguageModel:
    import npusim.workloads.llm

    if Path(name).suffix in (".xml", ".onnx", ".json"):
        raise UserError(f"{name}: no such model file")
    last = name.rpartition("/")[2]
    try:
        config = npusim.workloads.llm.published(last)
    except ValueError as error:
        raise UserError(str(error)) from None
    if last != name:
        raise UserError(f"{name}: no such file, and nothing is downloaded; did you mean {config.name}?")
    return built(config, weights or _NARROW, passes, rewrite)
