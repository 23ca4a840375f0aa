"""Engine files: a TensorRT plan (X.engine) and its card, a JSON file beside it (X.engine.json)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import EngineError
from ..files.onnx_file import ModelFile
from .precision_report import PrecisionReport

FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Card:
    """Contents of X.engine.json.

    onnx_metadata: the metadata of the ONNX file (checkpoint, preprocessing, ...); a plan cannot hold metadata.
    flavor: "tensorrt", "tensorrt-rtx" or "tensorrt-8"; version: its version. compute_capability: the GPUs that it is
    built for.
    inputs and outputs: {"name", "dtype", "shape"}. profile: input -> [minimum, optimum, maximum shape], for free sizes.
    rebuild: the command that builds it. clipped: initializer -> number of weights clipped to ±65504 (fp16).

    Only for builds with clips: ranges (fp16: the largest tensors and the operators kept in FP32 for them; int8: the
    calibration frames) and accuracy against the FP32 file ("onnx": of the converted ONNX file in ONNX Runtime;
    "engine": of the engine, with the precisions of its kernels, if it could be run).
    """

    engine_sha256: str
    engine_bytes: int
    onnx_name: str
    onnx_sha256: str
    onnx_metadata: dict[str, str]
    flavor: str
    version: str
    compute_capability: tuple[str, ...]
    gpu: str | None
    version_compatible: bool
    hardware_compatible: bool
    precision: str
    inputs: tuple[dict[str, Any], ...]
    outputs: tuple[dict[str, Any], ...]
    profile: dict[str, list[list[int]]]
    precision_report: PrecisionReport
    rebuild: str
    build_seconds: float
    built_at: str
    tool_version: str
    ranges: dict[str, Any] | None = None
    clipped: dict[str, int] = field(default_factory=dict)
    accuracy: dict[str, Any] | None = None

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT} | asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Parse `text`. Raises ValueError, with the reason, for a text that is not a card of this format."""
        values = json.loads(text)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            found = values.get("format") if isinstance(values, dict) else type(values).__name__
            raise ValueError(f"it is of format {found!r}, expected {FORMAT}")
        names = {field.name for field in fields(cls)}
        missing = sorted(names - values.keys())
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
        known = {name: value for name, value in values.items() if name in names}
        try:
            for name in ("compute_capability", "inputs", "outputs"):
                known[name] = tuple(known[name])
            precision_report = PrecisionReport(**known["precision_report"])
            known["precision_report"] = replace(precision_report, float_layers=tuple(precision_report.float_layers))
        except (TypeError, AttributeError) as error:
            raise ValueError(str(error)) from None
        return cls(**known)


def card_path(engine: Path) -> Path:
    """X.engine -> X.engine.json."""
    return engine.with_name(engine.name + ".json")


@dataclass(frozen=True, kw_only=True)
class EngineFile(ModelFile):
    """The plan at `path` and its card.

    The plan is read once: its SHA-256 is computed from the bytes that `take_plan` hands over for deserialization, so a
    file that changes between the two is not loaded.
    """

    path: Path
    card: Card

    @property
    def metadata(self) -> dict[str, str]:
        """Metadata of the ONNX file that the engine was built from: see runtime/files/onnx_file.py."""
        return self.card.onnx_metadata

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of the engine."""
        return tuple(output["name"] for output in self.card.outputs)

    @property
    def precision(self) -> str:
        """fp32, fp16 or int8."""
        return self.card.precision

    def sha256(self) -> str:
        """SHA-256 of the plan, computed at the first call."""
        return self._sha256

    def take_plan(self) -> bytes:
        """Bytes of the plan. They are not kept here afterwards: TensorRT holds a copy of its own."""
        plan = self._plan
        self.__dict__.pop("_plan")
        return plan

    @cached_property
    def _plan(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise EngineError(f"{self.path}: the engine cannot be read ({error.strerror})") from error

    @cached_property
    def _sha256(self) -> str:
        return hashlib.sha256(self._plan).hexdigest()

    @classmethod
    def read(cls, path: str | Path, *models: str, trust: bool = False) -> EngineFile:
        """Read the engine at `path` and its card, without deserializing it.

        models: the engine must hold one of these ("amcnet", "pwcnet", "raft", "pipeline"); none for any.
        trust: accept an engine whose SHA-256 differs from the one on its card. A plan is code.
        Raises EngineError for a missing engine or card, for a card that cannot be read, for another model, and,
        without `trust`, for an engine whose SHA-256 differs from the one on its card.
        """
        path = Path(path)
        if not path.is_file():
            raise EngineError(f"{path}: no such file; expected an engine; make one with: build-engine --help")
        card = read_card(path)
        if card is None:
            raise EngineError(
                f"{path} has no card {card_path(path).name} beside it to describe it. Fix: copy the card too, or "
                "build the engine again: build-engine --help"
            )
        file = cls(path=path, card=card)
        if not trust and file.sha256() != card.engine_sha256:
            raise EngineError(
                f"{path} is not the file that its card describes: its SHA-256 differs. A plan is code, so it is not "
                f"loaded. Fix: build it again: {card.rebuild}; or, if you made it yourself, add --trust"
            )
        if models and file.model not in models:
            raise EngineError(
                f"{path} holds the model {file.model!r}; expected {' or '.join(map(repr, models))}; build one with: "
                f"build-engine {models[0]}.onnx"
            )
        return file


def read_card(engine: Path) -> Card | None:
    """Read the card beside `engine`; None if there is none. Raises EngineError for a card that cannot be read."""
    path = card_path(engine)
    try:
        return Card.from_json(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{path} cannot be read as an engine's card ({error}); build the engine again: build-engine --help"
        ) from None
