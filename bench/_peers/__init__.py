"""The parts of `bench/peers.py`.

`environments` finds Pythons and makes one virtual environment per peer; `worker` runs in such an environment, with one
of `adapters`, and takes orders as JSON lines; `process` is the parent's end of that pipe; `rows` lists the operations
and their targets; `measure` interleaves the windows; `report` and `chart` write the results down.
"""
