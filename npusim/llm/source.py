"""Which language model is asked for: a name, a folder, a file, or a config.json."""

from __future__ import annotations

from pathlib import Path

from npusim.errors import UserError
from npusim.llm.built import built
from npusim.llm.calls import LanguageModel, Rewrite, as_it_is

_NARROW = "int4"


def find(
    text: str, weights: str | None = None, passes: str = "", rewrite: Rewrite = as_it_is
) -> LanguageModel:
    """The language model of ``text``: a published name, a config.json or a folder with one and no model in it, or a
    model file or folder of optimum-intel. ``weights`` are of what is built (int4 unless given), ``rewrite`` is done
    to its graphs, and ``passes`` names that.

    Raises UserError: nothing of that name, no language model, weights given to a file that has its own.
    """
    path = Path(text)
    is_config = path.suffix == ".json" or (path.is_dir() and not (path / "openvino_model.xml").is_file())
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
    import workloads.llm

    try:
        config = workloads.llm.read_config(path)
    except ValueError as error:
        raise UserError(str(error)) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    return built(config, weights or _NARROW, passes, rewrite)


def _published(name: str, weights: str | None, passes: str, rewrite: Rewrite) -> LanguageModel:
    import workloads.llm

    if Path(name).suffix in (".xml", ".onnx", ".json") or "/" in name:
        raise UserError(f"{name}: no such model file")
    try:
        config = workloads.llm.published(name)
    except ValueError as error:
        raise UserError(str(error)) from None
    return built(config, weights or _NARROW, passes, rewrite)
