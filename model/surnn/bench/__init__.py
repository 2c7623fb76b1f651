"""Measuring surnn: kernels, features, streams, a server under load.

Every benchmark gives one JSON object that describes the machine it ran on. Absolute times belong
to that machine; ratios come from turns taken in alternation (A B C A B C ...) and travel better.
"""
