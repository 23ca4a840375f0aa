"""The card of an engine: reading, writing, and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from amcnet.runtime.errors import EngineError
from amcnet.runtime.trt.card import Card, EngineFile, card_path


def test_a_card_is_read_back(make_card: Callable[..., Card]) -> None:
    card = make_card(profile={"image": [[1, 3, 64, 64]] * 3}, clipped={"w": 2})
    assert Card.from_json(card.to_json()) == card


def test_a_card_is_indented_json(make_card: Callable[..., Card]) -> None:
    values = json.loads(make_card().to_json())
    assert values["format"] == 2
    assert values["compute_capability"] == ["8.6", "8.9"]
    assert values["precision_report"]["flops"] == {"half": 990, "float": 10}
    assert values["accuracy"] is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Expecting property name"),
        ("[]", "format 'list', expected 2"),
        ('{"format": 1}', "format 1, expected 2"),
        ('{"format": 2, "version": "1"}', "it lacks accuracy, build_seconds"),
    ],
)
def test_other_files_are_no_card(text: str, message: str, write_engine: Callable[..., Path]) -> None:
    engine = write_engine()
    card_path(engine).write_text(text)
    with pytest.raises(EngineError, match=message) as error:
        EngineFile.read(engine)
    assert "x.engine.json cannot be read" in str(error.value)
    assert "build-engine" in str(error.value)


@pytest.mark.parametrize("change", [{"precision_report": {"layers": 3}}, {"precision_report": None}, {"inputs": 5}])
def test_a_card_with_a_wrong_value_is_refused(change: dict[str, object], make_card: Callable[..., Card]) -> None:
    with pytest.raises(ValueError, match=r"argument|mapping|iterable"):
        Card.from_json(json.dumps(json.loads(make_card().to_json()) | change))


def test_an_engine_is_read_with_its_card(write_engine: Callable[..., Path]) -> None:
    engine = EngineFile.read(write_engine(version="1.6"))
    assert (engine.path.name, engine.card.version) == ("x.engine", "1.6")


def test_a_changed_engine_is_refused_unless_trusted(write_engine: Callable[..., Path]) -> None:
    engine = write_engine()
    engine.write_bytes(engine.read_bytes() + b"!")
    with pytest.raises(EngineError, match=r"SHA-256 differs.*build-engine amcnet\.onnx --fp16.*--trust"):
        EngineFile.read(engine)
    assert EngineFile.read(engine, trust=True).card.version == "1.7.1.116"


def test_an_engine_without_a_card_is_refused_even_if_trusted(write_engine: Callable[..., Path]) -> None:
    engine = write_engine()
    card_path(engine).unlink()
    with pytest.raises(EngineError, match=r"has no card x\.engine\.json beside it"):
        EngineFile.read(engine, trust=True)


def test_a_missing_engine_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="no such file"):
        EngineFile.read(tmp_path / "x.engine")
