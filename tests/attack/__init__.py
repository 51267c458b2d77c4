"""Programs that attack the package, for as long as one likes: ``make attack``.

Each target makes cases and judges them (`target.py`). It runs in a process of its own (`worker.py`), for a case may end
it, hang or eat up memory; whoever watches (`watch.py`) sees that, and knows which case it was. A case is some bytes: a
file for a reader, or the number from which all else is drawn. So each can be repeated.
"""
