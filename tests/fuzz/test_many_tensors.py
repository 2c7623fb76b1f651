"""Bodies of /v2 as JSON and binary tensors: read, or refused with what was expected."""

from __future__ import annotations

import gzip
import json
import zlib

import numpy as np

from surnn_server.v2.bodies import decompress
from surnn_server.v2.inputs import StreamFormat, flags, outputs, samples
from surnn_server.v2.tensors import parse_request

VALUES = [0, 1, -1, 2**31, 2**63, 2**64, 1.5, True, None, "", "x" * 200, [], {}, [[1], [1, 2]]]
DATATYPES = ["FP32", "INT16", "UINT8", "INT32", "BYTES", "FP16", "BOOL", "FP64", ""]


def _request(chance):
    """A request, and its binary part."""
    datatype = chance.choice(DATATYPES[:4])
    shape = chance.choice(([1, 4], [4], [2, 2], [1, 2, 2], [0]))
    tensor = {"name": "samples", "datatype": datatype, "shape": shape}
    binary = b""
    if chance.random() < 0.5:
        width = {"FP32": 4, "INT16": 2, "UINT8": 1, "INT32": 4}[datatype]
        binary = bytes(width * int(np.prod(shape)))
        tensor["parameters"] = {"binary_data_size": len(binary)}
    else:
        tensor["data"] = [0] * int(np.prod(shape))
    request = {"inputs": [tensor], "parameters": {"sequence_id": 5, "sequence_start": True}}
    if chance.random() < 0.3:
        request["outputs"] = [{"name": "events", "parameters": {"binary_data": True}}]
    return request, binary


def _change(chance, value):
    """The same request with one value, somewhere in it, replaced."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        return value | {key: _change(chance, value[key])}
    if isinstance(value, list) and value and chance.random() < 0.7:
        at = chance.randrange(len(value))
        return [*value[:at], _change(chance, value[at]), *value[at + 1 :]]
    return chance.choice(VALUES + DATATYPES)


def test_requests(campaigns, fuzz_runtimes):
    spec = fuzz_runtimes["fuzz"].spec

    def make(chance):
        request, binary = _request(chance)
        for _ in range(chance.randrange(3)):
            request = _change(chance, request)
        head = json.dumps(request).encode()
        end = len(head)
        if chance.random() < 0.3:
            head = campaigns.spoil(chance, head)
        if chance.random() < 0.1:
            binary = campaigns.spoil(chance, binary)
        if chance.random() < 0.1:
            end = chance.choice((0, 1, end - 1, end + 1, 10**12, -1))
        return head + binary, end if binary or chance.random() < 0.1 else None

    def check(given):
        body, end = given
        request = parse_request(body, end)
        flags(request)
        outputs(request)
        if request.inputs:
            form = StreamFormat.of(spec, request.inputs[0].datatype, request.parameters)
            samples(spec, request.inputs, form.channels)
        return "read"

    campaigns.run("/v2 requests", 0.09, make, check)


def test_packed_bodies(campaigns):
    bodies = [gzip.compress(bytes(5000)), zlib.compress(b"surnn" * 50), gzip.compress(b"")]

    def make(chance):
        body = chance.choice(bodies)
        return body if chance.random() < 0.05 else campaigns.spoil(chance, body)

    def check(body):
        assert len(decompress(body, 6000)) <= 6000
        return "read"

    campaigns.run("/v2 packed bodies", 0.03, make, check)
