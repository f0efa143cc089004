"""Search of a design space by Optuna, many objectives at once, where the full grid is too much."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from npusim.errors import UserError
from npusim.explore.constraints import Constraint, broken
from npusim.explore.results import DEFAULT_OBJECTIVES, Explored, explored, objective_columns
from npusim.explore.space import Point, Space, digest
from npusim.explore.store import Journal, Row, write_tables
from npusim.explore.sweep import finish, table_of
from npusim.files.writing import check_plain
from npusim.workers import Machines, pool_of

if TYPE_CHECKING:
    import optuna

Sampler = Literal["nsga2", "tpe"]

STUDY = "study.db"
#: Trials that are drawn before any of them is told: a fixed number, so that the search is the same for any machines.
BATCH = 16
#: Trials of a generation of NSGA-II: two batches.
POPULATION = 32
_HERE = Machines()


def optimize(
    space: Space,
    trials: int,
    folder: Path,
    sampler: Sampler = "nsga2",
    seed: int = 0,
    machines: Machines = _HERE,
    objectives: Sequence[str] = DEFAULT_OBJECTIVES,
    progress: Callable[[int], None] = lambda done: None,
    retry_failed: bool = True,
    constraints: Sequence[Constraint] = (),
) -> Explored:
    """The points of the grid of ``space`` that ``trials`` trials come upon, each once, in the order of first trials.

    ``folder`` holds the study (SQLite), every point's results and the tables. The same call goes on where an earlier
    one was killed and ends as if it had not been; with more ``trials`` it searches on. Points that cannot be, and those
    that break one of ``constraints``, are told to Optuna as failed. Raises UserError for a folder of another
    exploration or search, and where Optuna is missing.
    """
    columns = objective_columns(objectives)
    with Journal(folder, space.identity(), retry_failed) as journal, pool_of(machines) as pool:
        search = _Search(space, folder, sampler, seed, columns, constraints)
        rows: dict[str, Row] = {}
        for asked in search.batches(trials):
            points = {space.key(point): point for point in asked}
            rows |= finish(space, points, journal, pool)
            search.tell([rows[space.key(point)] for point in asked])
            progress(len(search.study.trials))
        table = table_of(space, list(rows.values()))
        write_tables(folder, table)
    return explored(table, space.axes, columns, constraints)


class _Search:
    """A study in memory that can be stopped after any batch: what is drawn next depends on the seed, on the trial's
    number and on what the finished batches found, and on nothing else. Each batch is copied to SQLite when it is told.
    """

    def __init__(
        self,
        space: Space,
        folder: Path,
        sampler: Sampler,
        seed: int,
        columns: Sequence[str],
        constraints: Sequence[Constraint] = (),
    ) -> None:
        """Go on with the study in ``folder``, or begin one. Raises UserError if it is of another search."""
        self.space, self.folder, self.sampler, self.seed, self.columns = space, folder, sampler, seed, columns
        self.constraints = constraints
        optuna = _optuna()
        directions = ["minimize"] * len(columns)
        self.study = optuna.create_study(directions=directions)
        asked: dict[str, Any] = {"sampler": sampler, "seed": seed, "objectives": list(columns)}
        if constraints:
            asked["constraints"] = [one.text for one in constraints]
        check_plain(folder / STUDY)
        try:
            self.saved = optuna.create_study(
                storage=f"sqlite:///{folder / STUDY}",
                study_name="npusim",
                load_if_exists=True,
                directions=directions,
            )
            known = self.saved.user_attrs
            if not known:
                self.saved.set_user_attr("search", asked)
            elif known.get("search") != asked:
                search = known.get("search")
                before = search if isinstance(search, dict) else {}
                what = next(name for name, value in asked.items() if before.get(name) != value)
                raise UserError(f"{folder} holds another search (its {what} differs): choose another --out")
            told = self.saved.get_trials(deepcopy=False)
            self.study.add_trials(told[: len(told) // BATCH * BATCH])
            for trial in self.study.get_trials(deepcopy=False):
                self._point(trial.params)
        except UserError:
            raise
        except Exception as error:  # what SQLite, SQLAlchemy and Optuna make of a damaged file has many types
            if _disk_is_full(error):
                raise _unwritten(folder, error) from None
            why = str(error).strip().partition("\n")[0] or type(error).__name__
            raise UserError(
                f"{folder / STUDY}: not a study that can be gone on with ({why}); remove it"
            ) from None
        self.asked: list[Any] = []  # optuna.trial.Trial

    def batches(self, trials: int) -> Iterator[list[Point]]:
        """Points of the batches told already, then of one new batch after the other, until there are ``trials``."""
        told = self.study.get_trials(deepcopy=False)
        for at in range(0, min(len(told), trials), BATCH):
            self.asked = []
            yield [self._point(trial.params) for trial in told[at : min(at + BATCH, trials)]]
        while (done := len(self.study.get_trials(deepcopy=False))) < trials:
            self.asked = [self._ask() for _ in range(min(BATCH, trials - done))]
            yield [self._point(trial.params) for trial in self.asked]

    def tell(self, rows: Sequence[Row]) -> None:
        """Results of the points of the last batch."""
        optuna = _optuna()
        for trial, row in zip(self.asked, rows, strict=bool(self.asked)):
            if error := row["error"] or broken(row, self.constraints):
                trial.set_user_attr("error", error)
                self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            else:
                self.study.tell(trial, [row[column] for column in self.columns])
        from sqlalchemy.exc import SQLAlchemyError

        try:
            saved = len(self.saved.get_trials(deepcopy=False))
            self.saved.add_trials(self.study.get_trials(deepcopy=False)[saved:])
        except (optuna.exceptions.OptunaError, SQLAlchemyError) as error:
            raise _unwritten(self.folder, error) from None

    def _ask(self) -> optuna.trial.Trial:
        number = len(self.study.get_trials(deepcopy=False))
        self.study.sampler = _sampler(self.sampler, int(digest([self.seed, number]), 16) % 2**32)
        trial = self.study.ask()
        for axis in self.space.axes:
            if axis.numeric:
                at = trial.suggest_int(axis.name, 0, len(axis.values) - 1)
            else:
                at = trial.suggest_categorical(axis.name, range(len(axis.values)))
            trial.set_user_attr(axis.name, axis.values[at])
        return trial

    def _point(self, params: Mapping[str, int]) -> Point:
        """The values at the positions that Optuna has chosen."""
        return tuple(axis.values[params[axis.name]] for axis in self.space.axes)


def _unwritten(folder: Path, error: Exception) -> UserError:
    full = os.strerror(errno.ENOSPC) if _disk_is_full(error) else ""
    why = full or str(error.__cause__ or error).strip().partition("\n")[0]
    return UserError(f"cannot write to {folder / STUDY}: {why}")


def _disk_is_full(error: BaseException | None) -> bool:
    """Whether SQLite found no room, whatever others have made of its error."""
    while error is not None:
        if isinstance(error, sqlite3.Error) and error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError:
        raise UserError("npusim optimize needs the package optuna: pip install optuna") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _sampler(name: Sampler, seed: int) -> optuna.samplers.BaseSampler:
    samplers = _optuna().samplers
    if name == "tpe":
        return samplers.TPESampler(seed=seed)
    return samplers.NSGAIISampler(population_size=POPULATION, seed=seed)
