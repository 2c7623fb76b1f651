"""Thin adapters between HTTP or WebSocket and the rest of the server."""
