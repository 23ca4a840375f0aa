"""Engine build in a child process, so that an abort or crash of TensorRT becomes an error with its log.

The child reads its request from stdin and reports in lines of JSON on stdout. Output of the library on stdout and
stderr goes to the log.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..runtime.errors import AmcNetError, BackendError, EngineError, ModelFileError, OutputError
from ..runtime.trt.api import Tensor
from ..runtime.trt.precision_report import Layer, PrecisionReport
from .tensorrt_builder import Settings, build_plan

_COMMAND = (sys.executable, "-m", "amcnet.engines.build_process")
_ERRORS = {error.__name__: error for error in (BackendError, EngineError, ModelFileError, OutputError)}
_LOG_LINES = 8  # last lines of the log in an error message


@dataclass(frozen=True, kw_only=True)
class Built:
    """Description of a plan written by the child."""

    version: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    precision_report: PrecisionReport
    notes: tuple[str, ...]


def build_in_process(
    model: Path, plan: Path, log: Path, settings: Settings, on_phase: Callable[[str], None] | None = None
) -> Built:
    """Build `model` in a child process: write the engine to `plan` and the output of the library to `log`.

    on_phase: called with the current step several times a second. Raises the error of the child, OSError if a file
    cannot be read or written, or EngineError with the end of the log if the child ended without a result. An interrupt
    ends the child.
    """
    request = {"model": str(model), "plan": str(plan), "settings": asdict(settings)}
    with log.open("wb") as log_file:
        child = subprocess.Popen(_COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log_file, text=True)
        assert child.stdin is not None
        assert child.stdout is not None
        answer: dict[str, Any] = {}
        try:
            try:
                with child.stdin as pipe:
                    json.dump(request, pipe, default=str)
            except BrokenPipeError:
                pass  # the child has ended; its exit status is handled below
            for line in child.stdout:
                answer = json.loads(line)
                if "phase" in answer and on_phase is not None:
                    on_phase(answer["phase"])
            status = child.wait()
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
    if "errno" in answer:
        raise OSError(answer["errno"], answer["message"])
    if "error" in answer:
        raise _ERRORS[answer["error"]](answer["message"])
    if status != 0 or "built" not in answer:
        raise EngineError(
            f"the build of {model.name} {_ending(status)}; its log {log} ends:\n{_tail(log)}\n"
            "Fix: try a smaller --workspace-mib or another --optimization-level, and report this with the whole log"
        )
    return _built(answer["built"])


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status} and no engine"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _tail(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:]) or "  (empty)"


def _built(values: dict[str, Any]) -> Built:
    return Built(
        version=values["version"],
        inputs=tuple(Tensor(**tensor | {"shape": tuple(tensor["shape"])}) for tensor in values["inputs"]),
        outputs=tuple(Tensor(**tensor | {"shape": tuple(tensor["shape"])}) for tensor in values["outputs"]),
        precision_report=PrecisionReport.of(Layer(**layer) for layer in values["layers"]),
        notes=tuple(values["notes"]),
    )


def _child() -> int:
    # The library prints to stdout, which is redirected to the log; only `send` writes to the parent's pipe.
    parent = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's handler would wait for C++ code that runs for minutes

    def send(message: dict[str, Any]) -> None:
        parent.write(json.dumps(message) + "\n")
        parent.flush()

    request = json.load(sys.stdin)
    values = request["settings"]
    values["compute_capability"] = tuple(values["compute_capability"])
    values["timing_cache"] = Path(values["timing_cache"]) if values["timing_cache"] else None
    last = ""

    def on_phase(phase: str) -> None:
        nonlocal last
        if phase != last:
            send({"phase": phase})
        last = phase

    try:
        plan = build_plan(Path(request["model"]), Settings(**values), on_phase)
        if plan is None:
            return 1
        Path(request["plan"]).write_bytes(plan.data)
    except OSError as error:
        send({"errno": error.errno, "message": error.strerror})
        return 1
    except AmcNetError as error:
        send({"error": type(error).__name__, "message": str(error)})
        return 1
    built: dict[str, Any] = {"version": plan.version, "notes": plan.notes}
    built |= {name: [asdict(item) for item in getattr(plan, name)] for name in ("inputs", "outputs", "layers")}
    send({"built": built})
    return 0


if __name__ == "__main__":
    sys.exit(_child())
