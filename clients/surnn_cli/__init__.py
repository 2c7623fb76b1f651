"""The `surnn` command. Commands import what they need when they run, so that help is instant."""

from surnn_cli.app import app, main

__all__ = ["app", "main"]
