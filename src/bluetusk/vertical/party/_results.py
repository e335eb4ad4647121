"""Keeps the results of a run by both parties or by neither: written aside, then confirmed, then put in their place."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ...errors import BluetuskError, ProtocolAbort
from .._link import Link

__all__ = ["written"]

_REPORT = "report.html"
_ASIDE = ".new"


@contextlib.contextmanager
def written(output: Path, link: Link) -> Iterator[Path]:
    """Give a folder for the results; when the block has ended well, they replace those in `output`.

    The block writes the results and then exchanges a confirmation with the peer. If a file cannot be written, the peer
    is told so, and neither party keeps anything. A report of an earlier run is removed if this one has none, so that it
    does not lie beside results of another run.

    Parameters
    ----------
    output : Path
        Where the results belong.
    link : Link
        To the peer.

    Yields
    ------
    Path
        An empty folder in `output`.

    Raises
    ------
    ProtocolAbort
        If the disk refuses a write.
    """
    aside = output / _ASIDE
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(mode=0o700, parents=True)
        yield aside
        if not (aside / _REPORT).exists():
            (output / _REPORT).unlink(missing_ok=True)
        for path in sorted(aside.iterdir()):
            os.replace(path, output / path.name)
    except OSError as err:
        full = err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        with contextlib.suppress(BluetuskError):  # the run may have ended for another reason by now
            link.abort("its results could not be written" + (": the disk is full" if full else ""))
        why = "the disk is full: free space" if full else f"{err.strerror or err}: mend it"
        raise ProtocolAbort(
            f"cannot write the results to {output}: {why} and start both parties again with the same state "
            f"directories; nothing that was trained is lost, and neither party has kept a result"
        ) from err
    finally:
        shutil.rmtree(aside, ignore_errors=True)
