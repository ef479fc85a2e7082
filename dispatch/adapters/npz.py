"""Problems and plans as numpy archives: the field names of the contract, nothing pickled."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aggregator.core.errors import FlexError
from dispatch.core.portable import plan_from_arrays, plan_to_arrays, problem_from_arrays, problem_to_arrays, to_bytes
from dispatch.core.problem import DispatchPlan, DispatchProblem


class UnreadableArchive(FlexError):
    code = "dispatch.npz_unreadable"


class UnwritableArchive(FlexError):
    code = "dispatch.npz_unwritable"


def read_problem(path: Path) -> DispatchProblem:
    """Read a problem.

    Raises:
        UnreadableArchive: no such file, not an npz, or arrays of objects.
        InvalidProblem: fields missing or refused.
    """
    return problem_from_arrays(_read(path))


def write_problem(path: Path, problem: DispatchProblem) -> None:
    """Write a problem under the contract's field names, replacing the file whole or not at all."""
    _write(path, problem_to_arrays(problem))


def read_plan(path: Path) -> DispatchPlan:
    """Read a plan.

    Raises:
        UnreadableArchive: no such file, not an npz, or arrays of objects.
        InvalidPlan: fields missing or shapes that do not fit.
    """
    return plan_from_arrays(_read(path))


def write_plan(path: Path, plan: DispatchPlan) -> None:
    """Write a plan under the contract's field names, replacing the file whole or not at all."""
    _write(path, plan_to_arrays(plan))


def require_writable(path: Path) -> None:
    """Raise before a long solve, not after it.

    Raises:
        UnwritableArchive: the folder is not there or closed, or the path is a folder.
    """
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UnwritableArchive(f"cannot write {path}: it is a folder, or its folder is missing or closed")


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise UnreadableArchive(f"{path} holds a single array; expected an npz archive of named fields")
            with archive:
                return dict(archive)
    except (OSError, ValueError, EOFError, KeyError, NotImplementedError, zipfile.BadZipFile) as error:
        raise UnreadableArchive(f"cannot read {path} as an npz archive of plain arrays: {error}") from error


def _write(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    require_writable(path)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        scratch.write_bytes(to_bytes(arrays))
        scratch.replace(path)
    except OSError as error:
        raise UnwritableArchive(f"cannot write {path}: {error}") from error
    finally:
        scratch.unlink(missing_ok=True)
