"""Small models of any layers, for tests of every part; where kernels for GPUs run."""

from __future__ import annotations

import datetime
import ipaddress
import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from surnn.spec import Head, LayerSpec, ModelKind, ModelSpec, ScaleFrontEnd


def _has_gpu() -> bool:
    if not Path("/dev/nvidiactl").exists():
        return False
    import torch

    return torch.cuda.is_available()


HAS_GPU = _has_gpu()
if not HAS_GPU:
    # Triton decides at its first import whether kernels are compiled or interpreted.
    os.environ["TRITON_INTERPRET"] = "1"


def pytest_report_header() -> str:
    if find_spec("triton") is None:
        return "GPU kernels: SKIPPED, Triton is not installed (it has wheels for Linux only)"
    return "GPU kernels: compiled" if HAS_GPU else "GPU kernels: no GPU, in Triton's interpreter"


@pytest.fixture(params=[pytest.param("cuda", marks=pytest.mark.gpu) if HAS_GPU else "cpu"])
def device(request: pytest.FixtureRequest) -> str:
    """Where kernels run: compiled on a GPU if there is one, else interpreted."""
    pytest.importorskip("triton", reason="Triton is not installed: it has wheels for Linux only")
    return str(request.param)


@pytest.fixture(scope="session")
def stack_spec() -> Callable[..., ModelSpec]:
    """A sensor model of three channels with these layers."""

    def make(*layers: LayerSpec, head: Head = Head.SOFTMAX) -> ModelSpec:
        return ModelSpec(
            name="stack",
            kind=ModelKind.SENSOR,
            sample_rate=100,
            hop=1,
            channels=3,
            frontend=ScaleFrontEnd(mean=(0.0, 1.0, 2.0), scale=(1.0, 0.5, 2.0)),
            layers=layers,
            labels=("a", "b", "c"),
            head=head,
        )

    return make


@pytest.fixture(scope="session")
def certify() -> Callable[..., tuple[Path, Path]]:
    """Writes a certificate for this machine and its key into a folder; their paths."""
    # Most tests need none of it.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    def write(folder: Path, password: bytes | None = None) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "surnn test")])
        now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
        own = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(own, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        locked = (
            serialization.BestAvailableEncryption(password)
            if password
            else serialization.NoEncryption()
        )
        pem, files = serialization.Encoding.PEM, (folder / "cert.pem", folder / "key.pem")
        files[0].write_bytes(made.public_bytes(pem))
        files[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, locked))
        return files

    return write
