"""Compiled CPU kernels (numba), and the slow numpy references they must agree with.

Needs the `native` extra. Nothing outside `surnn.runtimes.native` imports this package.
"""
