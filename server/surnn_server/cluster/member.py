"""One member: a whole server in a process of its own, and its private door."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import shutil
import socket
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from surnn.errors import SurnnError
from surnn_server.app import create_app
from surnn_server.cluster.addresses import Address, listen
from surnn_server.cluster.ledger import Ledger
from surnn_server.cluster.membership import JOBS_MEMBER, Membership
from surnn_server.logs import set_up_logs
from surnn_server.repository import load_models
from surnn_server.serve import make_server, prepared, settle
from surnn_server.settings import Settings
from surnn_server.transport import DrainingServer

__all__ = ["PrivateDoor", "run_member"]

log = logging.getLogger(__name__)


def run_member(
    settings: Settings,
    number: int,
    folder: Path,
    addresses: Sequence[Address],
    ready: Connection,
) -> None:
    """Serve until told to stop, or until the supervisor is gone. The process's main function.

    Args:
        settings: the same for all members.
        number: this one's.
        folder: private to the members.
        addresses: to listen on, with all the others.
        ready: told None when clients may come, or what prevents it.
    """
    set_up_logs(settings, number)
    if not folder.exists():
        raise SystemExit(3)  # the supervisor died while this process started
    ledger = Ledger(folder / "ledger", settings.workers, number)
    membership = Membership(number, settings.workers, folder, ledger)
    if number != JOBS_MEMBER:
        settings = settings.model_copy(update={"data_dir": ""})
    try:
        models = None if settings.models_dir else load_models(settings.models)
        server = make_server(prepared(create_app(settings, models, membership)), settings)
    except SurnnError as error:
        log.error("cannot start: %s", error)
        _tell(ready, str(error))
        raise SystemExit(3) from None
    door = PrivateDoor(server, membership.own_socket)

    async def on_started() -> None:
        await door.open()
        await settle()
        _tell(ready, None)

    with contextlib.ExitStack() as sockets:
        listening = [sockets.enter_context(listen(address)) for address in addresses]
        server.on_started = on_started
        server.run(listening)
    if door.orphaned:
        _tidy_up(folder, membership.own_socket)
    if not server.started:
        raise SystemExit(3)


def _tidy_up(folder: Path, own_socket: Path) -> None:
    """The supervisor cannot any more: the last member removes what they shared."""
    own_socket.unlink(missing_ok=True)
    if not any(folder.glob("*.sock")):
        shutil.rmtree(folder, ignore_errors=True)


def _tell(ready: Connection, problem: str | None) -> None:
    # Nobody listens to a member that replaces another: it is seen to live, or to die.
    with contextlib.suppress(BrokenPipeError):
        ready.send(problem)


class PrivateDoor:
    """Where the other members come in."""

    def __init__(self, server: DrainingServer, path: Path) -> None:
        self._server = server
        self._path = path
        self.orphaned = False
        """Is the supervisor gone?"""

    async def open(self) -> None:
        """Listen there too."""
        loop, server = asyncio.get_running_loop(), self._server
        self._path.unlink(missing_ok=True)
        door = socket.socket(socket.AF_UNIX)
        door.bind(str(self._path))
        config = server.config
        server.servers.append(
            await loop.create_unix_server(
                lambda: config.http_protocol_class(  # type: ignore[call-arg]
                    config=config,
                    server_state=server.server_state,
                    app_state=server.lifespan.state,
                ),
                sock=door,
            )
        )
        self._follow_supervisor(loop)

    def _follow_supervisor(self, loop: asyncio.AbstractEventLoop) -> None:
        """A member that nobody looks after any more ends like one that was told to."""
        parent = multiprocessing.parent_process()
        if parent is None:
            return
        watched = os.dup(parent.sentinel)

        def gone() -> None:
            loop.remove_reader(watched)
            self.orphaned = True
            self._server.should_exit = True

        loop.add_reader(watched, gone)
