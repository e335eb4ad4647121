"""Makes both parties keep the results of a run, or neither: written aside, confirmed, then moved to their place."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ...errors import BluetuskError, ProtocolAbort
from ...storage import files
from ..protocol.link import Link

__all__ = ["REPORT", "check_places", "reserved", "written"]

REPORT = "report.html"
_NAMES = ("binning.bt", "gradient_boosting.bt", "logistic_regression.bt", REPORT, "result.json", "scores.csv")
_LOCK = ".lock"


@contextlib.contextmanager
def reserved(output: Path) -> Iterator[None]:
    """Keep other runs from writing to `output`: two at once would replace parts of each other's results.

    Parameters
    ----------
    output : Path
        The folder of the results, which exists.

    Raises
    ------
    ProtocolAbort
        If another run uses it.
    """
    path = output / _LOCK
    while True:
        try:
            lock = files.open_locked(path)
        except BlockingIOError:
            raise ProtocolAbort(
                f"another run writes its results to output = {output}: give each job its own, or wait for that run",
                kind="busy",
            ) from None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), path.stat()):
                break
        os.close(lock)  # the lock is on a file that the earlier run has removed meanwhile: it excludes nobody
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def check_places(output: Path) -> None:
    """Check that no folder has the name of a result.

    Parameters
    ----------
    output : Path
        The folder of the results.

    Raises
    ------
    IsADirectoryError
        If a folder has the name of a result; the error names it.
    """
    for name in _NAMES:
        if (output / name).is_dir() and not (output / name).is_symlink():
            raise IsADirectoryError(
                errno.EISDIR, f"{name} is a folder there, in the place of a result: rename it, or choose another output"
            )


@contextlib.contextmanager
def written(output: Path, link: Link, job: str) -> Iterator[Path]:
    """Yield a folder for the results; if the block succeeds, they replace those in `output`.

    The block writes the results and then exchanges a confirmation with the peer. If a file cannot be written, the peer
    is informed, and neither party keeps anything. Leftovers of a killed run of this job are removed, and so is the
    report of an earlier run if this one has none: it would not belong to the new results.

    Parameters
    ----------
    output : Path
        The folder of the results.
    link : Link
        To the peer.
    job : str
        The job that the results belong to.

    Yields
    ------
    Path
        An empty folder in `output`.

    Raises
    ------
    ProtocolAbort
        If the disk refuses a write, or a folder has the name of a result.
    """
    aside = output / f".new-{hashlib.sha256(job.encode()).hexdigest()[:16]}"  # a job's name need not be a file name
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700, parents=True)
        check_places(output)  # before the block confirms: afterwards the peer keeps its results
        yield aside
        if not (aside / REPORT).exists():
            (output / REPORT).unlink(missing_ok=True)
        for path in sorted(aside.iterdir()):
            os.replace(path, output / path.name)
    except OSError as err:
        full = files.is_full(err)
        with contextlib.suppress(BluetuskError):  # the run may have ended for another reason by now
            link.abort("its results could not be written" + (": the disk is full" if full else ""))
        why = "the disk is full: free space" if full else f"{err.strerror or err}: fix it"
        raise ProtocolAbort(
            f"cannot write the results to {output}: {why} and start both parties again with the same state "
            f"directories; no training is lost, and neither party has kept a result"
        ) from err
    finally:
        shutil.rmtree(aside, ignore_errors=True)
