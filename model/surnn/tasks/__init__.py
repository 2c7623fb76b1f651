"""The tasks on which recurrent networks with long memories are compared, and what came out.

Needs the `torch` extra; nothing on the serving path imports this package. One file per task, each
with a seeded generator, a spec (so that every trained network is a model that can be served), a
figure, and settings for one CPU core and for a GPU. `surnn tasks` is the command line.
"""
