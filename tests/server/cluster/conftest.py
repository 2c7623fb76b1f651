"""Two members of one server, each in a thread, so that a test can choose which one it asks."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from surnn_server.cluster.ledger import Ledger
from surnn_server.cluster.membership import Membership
from surnn_server.tokens import new_key

MEMBERS = 2


@pytest.fixture(scope="session")
def run_members(run_server: Callable[..., Any]) -> Callable[..., Any]:
    """`with run_members(settings) as (first, second)`."""

    @contextlib.contextmanager
    def run(**settings: Any) -> Iterator[list[Any]]:
        shared = {"state_keys": new_key()} | settings
        # Not pytest's folder: the path of a Unix socket has to be short.
        with tempfile.TemporaryDirectory(prefix="surnn-") as name, contextlib.ExitStack() as stack:
            folder = Path(name)
            members = []
            for number in range(MEMBERS):
                ledger = Ledger(folder / "ledger", MEMBERS, number)
                stack.callback(ledger.close)
                membership = Membership(number, MEMBERS, folder, ledger)
                members.append(stack.enter_context(run_server(membership, **shared)))
            yield members

    return run


@pytest.fixture(scope="module")
def members(run_members: Callable[..., Any]) -> Iterator[list[Any]]:
    """Two members with the default limits."""
    with run_members() as members:
        yield members
