"""The wire form of inference requests: bytes in, bytes out."""

from __future__ import annotations

import gzip
import zlib

import numpy as np
import orjson
import pytest

from surnn_server.codes import ErrorCode, Refusal
from surnn_server.v2.bodies import Budget, decompress
from surnn_server.v2.tensors import OutputTensor, parse_request, render_response

NUMBERS = np.array([0.5, -1.0, 3.25], np.float32)


def body(data=None, datatype="FP32", shape=(3,), **rest):
    tensor = {"name": "audio", "datatype": datatype, "shape": shape, **rest}
    if data is not None:
        tensor["data"] = data
    return orjson.dumps({"inputs": [tensor]})


def test_json_numbers_become_little_endian_bytes():
    for data, shape in ([0.5, -1, 3.25], [3]), ([[0.5, -1, 3.25]], [1, 3]):
        request = parse_request(body(data, shape=shape), None)
        (tensor,) = request.inputs
        assert bytes(tensor.data) == NUMBERS.tobytes()
        assert tensor.shape == tuple(shape)
    (tensor,) = parse_request(body([-32768, 7], "INT16", [2]), None).inputs
    assert bytes(tensor.data) == np.array([-32768, 7], "<i2").tobytes()
    assert not parse_request(body([], shape=[0]), None).inputs[0].data


def test_binary_tensors_follow_the_json_in_order():
    first, second = NUMBERS.tobytes(), np.array([1, 2], "<i2").tobytes()
    head = orjson.dumps(
        {
            "id": "seven",
            "inputs": [
                {
                    "name": "a",
                    "datatype": "FP32",
                    "shape": [3],
                    "parameters": {"binary_data_size": 12},
                },
                {
                    "name": "b",
                    "datatype": "INT16",
                    "shape": [2],
                    "parameters": {"binary_data_size": 4},
                },
            ],
            "outputs": [{"name": "x"}, {"name": "y", "parameters": {"binary_data": False}}],
            "parameters": {"binary_data_output": True},
        }
    )
    request = parse_request(head + first + second, len(head))
    assert [bytes(t.data) for t in request.inputs] == [first, second]
    assert request.id == "seven"
    assert [(o.name, o.binary) for o in request.outputs] == [("x", True), ("y", False)]


BAD = {
    "not JSON": (b"{", None, "request is not JSON"),
    "no inputs": (b"{}", None, "inputs is {}, field required"),
    "a list": (b"[]", None, "request is [], "),
    "text in numbers": (body(["0.5", "1", "2"]), None, "input 'audio' has data that is not FP32"),
    "truths in numbers": (body([True, False, True]), None, "input 'audio' has data that is not"),
    "null in numbers": (body([0.5, None, 2]), None, "input 'audio' has data that is not FP32"),
    "ragged": (body([[1, 2], [3]]), None, "input 'audio' has ragged data, expected [3]"),
    "other shape": (body([[1], [2], [3]]), None, "input 'audio' has data of shape [3, 1], exp"),
    "too few": (body([1.0, 2.0]), None, "input 'audio' has data of shape [2], expected [3]"),
    "fractions": (body([0.5, 1, 2], "INT16"), None, "input 'audio' has numbers that are not INT"),
    "overflow": (body([40000, 1, 2], "INT16"), None, "input 'audio' has numbers that are not INT"),
    "no data": (body(), None, "input 'audio' has data of type NoneType, expected an array"),
    "datatype": (body([1, 2, 3], "FLOAT"), None, "datatype is 'FLOAT', expected one of ['BOOL'"),
    "negative shape": (body([1], shape=[-1]), None, "inputs.0.shape.0 is -1, expected greater"),
    "huge shape": (body([1], shape=[2**39] * 8), None, "input 'audio' has data of shape [1]"),
    "shape of fractions": (body([1], shape=[1.5]), None, "inputs.0.shape.0 is 1.5, expected a"),
    "shared memory": (
        body(parameters={"shared_memory_region": "r"}),
        None,
        "input 'audio' is in shared memory",
    ),
    "size": (
        body(parameters={"binary_data_size": 8}),
        None,
        "input 'audio' has 8 bytes of binary data, expected 12 for FP32 [3]",
    ),
    "negative size": (
        body(parameters={"binary_data_size": -12}),
        None,
        "input 'audio' has -12 bytes of binary data, expected 12",
    ),
    "nothing follows": (
        body(parameters={"binary_data_size": 12}),
        None,
        "input 'audio' has 0 bytes in the body, expected 12 (is Inference-Header-Content-Length",
    ),
    "twice": (
        body([1, 2, 3], parameters={"binary_data_size": 12}),
        None,
        "input 'audio' has 'data' and 'binary_data_size'",
    ),
    "more follows": (body([1, 2, 3]) + b"1234", len(body([1, 2, 3])), "4 bytes follow the last"),
    "beyond the end": (body([1, 2, 3]), 1000, "Inference-Header-Content-Length is 1000, expected"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named(case):
    content, length, message = BAD[case]
    with pytest.raises(Refusal) as refused:
        parse_request(content, length)
    assert refused.value.message.startswith(message)


def test_large_json_is_refused_before_it_is_read():
    with pytest.raises(Refusal) as refused:
        parse_request(b" " * (5 << 20), None)
    assert refused.value.code is ErrorCode.UPLOAD_TOO_BIG
    assert refused.value.message.endswith("expected at most 4194304: send binary tensors")


def test_a_response_is_exact_in_both_forms():
    numbers = np.random.default_rng(0).uniform(size=(1, 50, 2)).astype(np.float32)
    for binary in (True, False):
        outputs = [
            OutputTensor("p", "FP32", numbers.shape, numbers, binary),
            OutputTensor("e", "BYTES", (1, 2), ["ä", "end"], binary),
        ]
        content, length = render_response({"model_name": "m"}, outputs)
        head = orjson.loads(content[:length])
        assert head["model_name"] == "m"
        if not binary:
            assert length is None
            seen = np.array(head["outputs"][0]["data"], np.float32)
            assert head["outputs"][1]["data"] == ["ä", "end"]
        else:
            assert head["outputs"][0]["parameters"]["binary_data_size"] == 400
            seen = np.frombuffer(content[length : length + 400], "<f4")
            assert content[length + 400 :] == b"\x02\0\0\0\xc3\xa4\x03\0\0\0end"
        np.testing.assert_array_equal(seen.reshape(numbers.shape), numbers)


def test_unpacking_knows_gzip_and_zlib():
    data = bytes(range(256)) * 10
    assert decompress(gzip.compress(data), 10_000) == data
    assert decompress(zlib.compress(data), 2560) == data


@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        (zlib.compress(bytes(10_000_000)), ErrorCode.UPLOAD_TOO_BIG, "body of 1001 bytes or more"),
        (zlib.compress(b"abc")[:-3], ErrorCode.INVALID_REQUEST, "packed body ends too early"),
        (zlib.compress(b"abc") + b"x", ErrorCode.INVALID_REQUEST, "packed body goes on after"),
        (b"nonsense", ErrorCode.INVALID_REQUEST, "body cannot be unpacked"),
        (b"", ErrorCode.INVALID_REQUEST, "packed body ends too early"),
    ],
    ids=["bomb", "cut", "tail", "nonsense", "nothing"],
)
def test_what_cannot_be_unpacked_is_refused(data, code, message):
    with pytest.raises(Refusal) as refused:
        decompress(data, 1000)
    assert refused.value.code is code
    assert refused.value.message.startswith(message)


def test_a_budget_is_given_back():
    budget = Budget(10)
    budget.take(8)
    with pytest.raises(Refusal) as refused:
        budget.take(3)
    assert refused.value.code is ErrorCode.AT_CAPACITY
    budget.give(8)
    budget.take(10)
