import numpy as np
import numpy.typing as npt

from bluetusk._kernels.modexp import I64, U64, Montgomery

U8 = npt.NDArray[np.uint8]

def entries(window: int) -> int: ...
def cells_of_row(ebits: int) -> int: ...
def table(mont: Montgomery, out: U64, cols: int, src: U64, idx: I64, window: int, lo: int, hi: int) -> None: ...
def collect(
    mont: Montgomery,
    cells: U64,
    used: U8,
    powers: U64,
    cols: int,
    exps: U64,
    negative: U8,
    ebits: int,
    window: int,
    first: int,
) -> None: ...
def join(mont: Montgomery, dst: U64, cells: U64, used: U8, ebits: int, negative: bool, lo: int, hi: int) -> None: ...
