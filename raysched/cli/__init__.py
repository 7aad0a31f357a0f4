"""The command line. ``main`` lists the verbs; each verb's module imports what it needs when called.

A verb checks what it can before it touches Ray, talks to the scheduler through
``raysched.cluster.session`` only, and says everything through ``voice``: people read plain lines,
programs read one JSON object per line, each with a single key that says what it holds.
"""
