"""Exchange formats: every file that leaves raysched, streamed from a folder of cells.

``formats.py`` is the table, ``export.py`` the door, ``cells.py`` what all of them write, checked on
the way; each other file is one family of formats. Nothing here may change a results folder.
"""
