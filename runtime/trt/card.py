"""An engine and its card: the plan as TensorRT writes it, and beside it a JSON file that says what it is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..errors import EngineError
from ..files.onnx_file import CHECKPOINT_SHA256, MODEL, file_sha256
from .precision_report import PrecisionReport

FORMAT = 2


@dataclass(frozen=True, kw_only=True)
class Card:
    """What X.engine.json holds.

    onnx_metadata is all that the ONNX file says of itself (checkpoint, preprocessing, ...): a plan cannot carry it.
    flavor is "tensorrt" or "tensorrt-rtx", version its version. compute_capability lists the GPUs it is built for.
    inputs and outputs: {"name", "dtype", "shape"}; profile: input -> [least, usual, greatest shape], for free sizes.
    rebuild is the command that makes it anew. With clips: ranges, the largest tensors and what became an island for
    them (fp16) or by which frames it was calibrated (int8); clipped, initializer -> how many of its weights were beyond
    ±65504 and are clipped (fp16); accuracy against the FP32 file, "onnx" that of the file it
    was built of, in ONNX Runtime, and "engine" its own, with its kernels' precisions, where a GPU was there.
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
        """Raises ValueError, with what is wrong, for a text that is no card of this format."""
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
class EngineFile:
    """`path` of a plan, and its card."""

    path: Path
    card: Card

    @property
    def metadata(self) -> dict[str, str]:
        """What the ONNX file said of itself: see runtime/files/onnx_file.py."""
        return self.card.onnx_metadata

    @property
    def model(self) -> str:
        return self.metadata[MODEL]

    @property
    def precision(self) -> str:
        return self.card.precision

    @property
    def untrained(self) -> bool:
        """Whether the weights come from a seed: good for timing, not for masks."""
        return self.metadata[CHECKPOINT_SHA256].startswith("untrained")

    def sha256(self) -> str:
        return file_sha256(self.path)

    @classmethod
    def read(cls, path: str | Path, *, trust: bool = False) -> EngineFile:
        """The engine at `path`, not deserialized. A plan is code: one that its card does not know is refused.

        Raises EngineError for a missing engine or card, a card that is no card, and, without `trust`, for an engine
        whose hash is not the one on its card.
        """
        path = Path(path)
        if not path.is_file():
            raise EngineError(f"{path}: no such file; expected an engine; make one with: build-engine --help")
        card = read_card(path)
        if card is None:
            raise EngineError(
                f"{path} has no card {card_path(path).name} beside it, so nothing says what it is; copy the card too, "
                "or build the engine again: build-engine --help"
            )
        if not trust and file_sha256(path) != card.engine_sha256:
            raise EngineError(
                f"{path} is not the file that its card describes: its SHA-256 differs. A plan is code, so it is not "
                f"loaded; build it again: {card.rebuild}; or, if you made it yourself, add --trust"
            )
        return cls(path=path, card=card)


def read_card(engine: Path) -> Card | None:
    """The card beside `engine`; None where there is none. Raises EngineError for one that cannot be read."""
    path = card_path(engine)
    try:
        return Card.from_json(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise EngineError(
            f"{path} cannot be read as an engine's card ({error}); build the engine again: build-engine --help"
        ) from None
