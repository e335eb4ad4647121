import numpy as np
import numpy.typing as npt

GUIDE_BITS: int
MAX_COUNT: int
MAX_SHIFT: int

class Table:
    words: int
    def __init__(
        self, threshold: npt.NDArray[np.uint64], guide: npt.NDArray[np.uint16], shift: int, slope: int
    ) -> None: ...

def draw(
    table: Table, words: npt.NDArray[np.uint64], out: npt.NDArray[np.int64], open: npt.NDArray[np.uint32]
) -> int: ...
