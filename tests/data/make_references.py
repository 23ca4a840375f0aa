"""Write references.npz and state_dicts.json: python tests/data/make_references.py (needs the shared test data).

First tests/models/test_parity.py, which compares the networks with outputs of the original implementations: nothing
is written unless all of it passes, with no test skipped.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import references

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "reference"
PARITY = ROOT / "tests" / "models" / "test_parity.py"


class _Outcomes:
    """A pytest plugin: how each test ended."""

    def __init__(self) -> None:
        self.ended: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.ended[report.nodeid] = report.outcome


def main() -> int:
    outcomes = _Outcomes()
    status = pytest.main([str(PARITY), "-q", "-p", "no:cacheprovider", "--rootdir", str(ROOT)], plugins=[outcomes])
    if status != 0 or len(outcomes.ended) < 7 or set(outcomes.ended.values()) != {"passed"}:
        print(f"error: parity is not proven, nothing was written: {outcomes.ended}", file=sys.stderr)
        return 1

    names = {"amcnet": "amcnet_state_dict"}
    names |= {f"pwcnet_{convention}": f"pwcnet_state_dict_{convention}" for convention in ("nvlabs", "sniklaus")}
    names |= {f"raft_{size}": f"raft_{size}_state_dict" for size in ("small", "large")}
    state_dicts = {name: json.loads((SHARED / f"{file}.json").read_text()) for name, file in names.items()}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(keys)}" for name, keys in state_dicts.items())
    references.STATE_DICTS.write_text(f"{{\n{lines}\n}}\n")

    arrays = {}
    for case, run in references.CASES.items():
        for name, values in run().items():
            print(f"{case}/{name} {values.shape}: mean {values.mean():.4f}, standard deviation {values.std():.4f}")
            arrays[f"{case}/{name}"] = values
    np.savez_compressed(references.FILE, **arrays)
    return 0


if __name__ == "__main__":
    sys.exit(main())
