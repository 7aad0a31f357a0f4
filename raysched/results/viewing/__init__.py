"""Looking at slides and cells: tiles of deep zoom, cells drawn on them, what a click has hit.

Knows neither HTTP nor Ray. Whatever is kept in memory is kept within bounds.
"""
