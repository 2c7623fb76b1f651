"""The surnn server: streams over WebSocket, files over REST.

Example:
    from surnn_server import Settings, run
    run(Settings(port=8000))
"""

from surnn_server.app import create_app
from surnn_server.serve import run
from surnn_server.settings import Settings

__all__ = ["Settings", "create_app", "run"]
