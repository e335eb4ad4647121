"""One file per library. These run in the library's own environment, so they must work on CPython 3.8."""
