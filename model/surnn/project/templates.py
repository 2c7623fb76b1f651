"""Texts of a new project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surnn.project.new import Found

__all__ = ["AUDIO_DATA", "README", "SENSOR_DATA", "audio_config", "sensor_config"]

README = """# {name}

```console
$ surnn train config.toml --out model      # in this folder; Ctrl-C stops it, the best so far stays
$ surnn eval model {data} --part test      # as a server would run it, on what was kept apart
$ surnn stream RECORDING --model model     # a recording as if it were live
$ surnn serve --models model --port 8000   # there it is called {name}
```

`config.toml` says which labels there are, how the recordings are divided, and how long to train.
`model/report.html` shows what came out. Mistakes in the data are reported with file and line before
training starts.
"""

AUDIO_DATA = """# Put your recordings here, labelled in one of these ways

- one folder for each label, short clips inside: `dog/001.wav`, `cat/001.wav`; and `groups.csv`
  (`file,group`), or `split.pattern` in config.toml, saying who or where each clip is from
- `segments.csv`: `file,start,end,label` (seconds), and a column such as `speaker` or `place`
- `.rttm` files: speakers' turns; every turn then counts as the label of `labels.call`
- a label track of Audacity beside each recording: `call.txt` for `call.wav`

WAV, FLAC, Ogg or MP3; any sample rate from the model's upwards.
"""

SENSOR_DATA = """# Put your tables here

`.csv`, `.csv.gz` or `.parquet`, one for each recording, with a header:

    time,x,y,z,label,person
    0.00,0.02,-0.98,9.81,rest,ada

`time` in seconds (or milliseconds, or dates: `columns.time_unit`); `label` may be empty where
nothing is known; or leave it out and write `segments.csv`: `file,start,end,label`.
"""


def audio_config(name: str, data: str, found: Found) -> str:
    """config.toml of a project that listens to audio."""
    rate = found.sample_rate
    hop = rate // 100
    window = 5 * hop // 2
    n_fft = 1 << (window - 1).bit_length()
    top = f"{0.475 * rate:.0f}"
    layout = f'layout = "{found.layout.value}"' if found.layout else '# layout = "segments"'
    return f"""# surnn train config.toml --out model
# Every key is explained in surnn.train.config and surnn.dataset.options.

task = "audio"
seed = 1
data = {data}

[model]
name = {json.dumps(name)}
description = ""
licence = ""
labels = {json.dumps(list(found.labels), ensure_ascii=False)}
sample_rate = {rate}
hop = {hop}                # one answer every 10 ms
head = "{_head(found)}"        # softmax: exactly one label at a time; sigmoid: any number
lookahead = 4            # answers wait for 40 ms of the future
frontend = {{ type = "logmel", bands = 40, window = {window}, n_fft = {n_fft}, f_max = {top} }}
encoder = {{ frames = 7, width = 48 }}

[[model.layers]]
hidden = 64
switch = {{ mode = "clock+input", open_rate = 0.2, max_period = 60.0, group = 8 }}

[[model.layers]]
hidden = 48
switch = {{ mode = "clock+input", open_rate = 0.2, max_period = 120.0, group = 8 }}

[labels]
{layout}
{_labels(found)}
[split]
# Recordings of one group (speaker, place, day) never stand on both sides.
by = {json.dumps(found.group)}
# pattern = "^([^_]+)_"  # or: the part of the file's name that tells the group
valid = 0.2              # chooses checkpoint and thresholds
test = 0.2               # measured once, at the end

[sound]                  # how recordings are varied while training
noise = 0.4
snr_db = [5.0, 30.0]

[budget]
minutes = 10             # the clock stops it, or
steps = 1500             # the number of steps, or
patience = 8             # so many validations without a better score
batch = 16
seconds = 4.0
validate_steps = 100

[optimiser]
lr = 4e-3
switch_lr = 8e-3
average = 0.99

[loss]
open_target = 0.2        # of each layer
open_weight = 2.0
"""


def sensor_config(name: str, data: str, found: Found) -> str:
    """config.toml of a project that listens to sensors."""
    columns = found.columns
    time = f"time = {json.dumps(columns.time)}" if columns.time else "# time = none: evenly spaced"
    layout = found.layout.value if found.layout else "column"
    return f"""# surnn train config.toml --out model
# Every key is explained in surnn.train.config and surnn.dataset.options.

task = "sensor"
seed = 1
data = {data}

[model]
name = {json.dumps(name)}
description = ""
licence = ""
labels = {json.dumps(list(found.labels), ensure_ascii=False)}
sample_rate = {found.sample_rate}         # rows a second, after putting them on an even grid
head = "{"softmax" if len(found.labels) > 1 else "sigmoid"}"

[[model.layers]]
hidden = 48
switch = {{ mode = "clock+input", open_rate = 0.2, max_period = 200.0 }}

[[model.layers]]
hidden = 32
switch = {{ mode = "clock+input", open_rate = 0.2, max_period = 400.0 }}

[columns]
channels = {json.dumps(list(columns.channels), ensure_ascii=False)}
{time}
time_unit = "{columns.time_unit}"
label = {json.dumps(columns.label)}

[labels]
layout = "{layout}"
{_labels(found)}
[split]
by = {json.dumps(found.group)}
valid = 0.2              # chooses checkpoint and thresholds
test = 0.2               # measured once, at the end

[series]                 # how recordings are varied while training
noise = 0.05
gain = [0.9, 1.1]

[budget]
minutes = 10
steps = 800
patience = 8
batch = 16
seconds = 8.0
validate_steps = 50

[optimiser]
lr = 4e-3
switch_lr = 8e-3
average = 0.99

[loss]
edge_frames = 2
skip_frames = 0
open_target = 0.2
open_weight = 2.0
"""


def _head(found: Found) -> str:
    return "softmax" if found.background else "sigmoid"


def _labels(found: Found) -> str:
    lines = []
    if found.call:
        lines.append(f"call = {json.dumps(found.call)}  # every speaker's turn counts as this")
    if found.background:
        lines.append(f"background = {json.dumps(found.background)}  # holds where no other does")
    return "".join(f"{line}\n" for line in lines)
