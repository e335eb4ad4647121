"""What `bench/peers.py` is made of.

`environments` finds Pythons and makes one virtual environment per peer; `worker` runs in such an environment, with one
of `adapters`, and takes orders as JSON lines; `process` is the parent's end of that pipe; `rows` says what is measured
and against which target; `measure` interleaves the windows; `report` and `chart` write the results down.
"""
