"""`surnn new`: a folder with everything that training on your own recordings needs."""

from surnn.project.example import write_example
from surnn.project.new import CONFIG, Kind, new_project

__all__ = ["CONFIG", "Kind", "new_project", "write_example"]
