"""The difference of two results of one slide: which cells both found, which one of them alone.

``side.py`` reads a result by region, ``matching.py`` pairs outlines, ``facts.py`` gathers the
numbers, ``tables.py``, ``picture.py``, ``windows.py`` and ``page.py`` show them, ``difference.py``
is the door.
"""
