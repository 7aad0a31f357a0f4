"""The whole of scheduling as a pure, synchronous state machine.

``Scheduler.handle(event) -> list[Command]``. No ray, no duckdb, no clock, no randomness, no I/O,
no logging: time and ids arrive on the event. Only this package decides what runs where.
"""
