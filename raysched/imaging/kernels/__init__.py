"""Loops over pixels and runs, compiled by numba; each file is one step of the way to cells.

All are pure, sequential and without ``fastmath``, so that the same pixels give the same bits on
any tile. Importing one imports numba (0.3 s): callers do so when pixels are there, not before.
"""
