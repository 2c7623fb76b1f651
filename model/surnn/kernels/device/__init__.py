"""Triton kernels for GPUs, and the slow torch references they must agree with.

One file per kernel. All index the state pool's rows directly, compute in float32, and give every
session the same bits in any batch: tile sizes belong to a layer, never to a batch. With
`TRITON_INTERPRET=1` set before the first import they run on CPU tensors, for tests.
"""
