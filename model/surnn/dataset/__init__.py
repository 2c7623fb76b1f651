"""Labelled recordings: reading them, checking them, and keeping groups of them apart.

What `surnn train` learns from and `surnn eval` measures on. No torch here. Everything that is wrong
with a data set is one `InvalidInput` that names the file and the line, before any work starts.
"""

from surnn.dataset.audio import read_audio
from surnn.dataset.labelled import Labelled, Truth, frame_truth
from surnn.dataset.options import Columns, Labelling, Layout, SplitRule
from surnn.dataset.sensor import Series, read_sensor
from surnn.dataset.split import Part, Split, split

__all__ = [
    "Columns",
    "Labelled",
    "Labelling",
    "Layout",
    "Part",
    "Series",
    "Split",
    "SplitRule",
    "Truth",
    "frame_truth",
    "read_audio",
    "read_sensor",
    "split",
]
