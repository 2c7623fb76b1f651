"""How hard the fuzzing tries: little in every run, a lot when asked.

SURNN_FUZZ_EXAMPLES=20000 pytest tests/fuzz
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "surnn",
    max_examples=int(os.environ.get("SURNN_FUZZ_EXAMPLES", "60")),
    deadline=None,
    derandomize="SURNN_FUZZ_EXAMPLES" not in os.environ,
    database=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("surnn")
