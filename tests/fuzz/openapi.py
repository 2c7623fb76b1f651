"""Requests that schemathesis makes up from the OpenAPI, against a server started for it.

    python tests/fuzz/openapi.py SCHEMATHESIS REPORT [options of schemathesis]

Not a test: schemathesis has its own environment (`make fuzzapi`). The counts go to the report.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from surnn.bench.machine import describe
from surnn_cli.server_process import running_server

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


def main(tool: str, report: Path, options: list[str]) -> int:
    with running_server("vad") as url:
        told = subprocess.run(
            [tool, "run", f"{url}/openapi.json", "--checks", ",".join(CHECKS), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
    operations = re.search(r"Tested: (\d+)", told.stdout)
    cases = re.search(r"(\d+) generated, (\d+) passed", told.stdout)
    if told.returncode or not operations or not cases:
        print(told.stdout[-5000:])
        return told.returncode or 1
    made, passed = (int(count) for count in cases.groups())
    result = {
        "report": "openapi",
        "machine": describe(),
        "options": options,
        "operations": int(operations[1]),
        "cases": made,
        "failed": made - passed,
    }
    report.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
