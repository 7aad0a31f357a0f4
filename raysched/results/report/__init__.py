"""The report: what a person wants to see of a finished job, as one page of HTML without scripts."""
