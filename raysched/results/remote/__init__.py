"""Slides, staging and results in an object store, for clusters whose nodes share no folder.

The stages work on folders as ever: each lane's node has some of its own, into which comes what a
unit reads, and from which goes what it has made. The layout of the store::

    slides/{digest}/{name}                       a slide; one of several files has them all here
    jobs/{job}/plan.json tissue.npz ...          what a staging folder holds, under the same names
    jobs/{job}/chunks-{fingerprint}/...
    jobs/{job}/log/...                           what was said while units ran
    results/{job}/{unique}/...                   a complete result
    results/{job}/result.json                    says which of them it is, and who may publish it
"""
