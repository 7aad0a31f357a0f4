"""From slide file to cells of one tile: reading, tissue, tiling, engines, measuring.

Knows neither scheduling nor Ray. Frames are in the names: ``l0_`` is level-0 pixels of the file,
``w_`` is working pixels (the resolution an engine sees), ``t_`` is pixels inside one tile's read
rectangle. One working pixel is ``plan.grid.l0_per_w`` level-0 pixels.
"""
