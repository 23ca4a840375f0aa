"""The trainings that lack an ingredient: each lacks the one that its name says, and nothing else."""

from __future__ import annotations

from dataclasses import asdict, replace

from amcnet.benchmarks.ingredients import VARIANTS
from amcnet.training.recipe import LIGHT

LACKING = {
    "whole recipe": set(),
    "whole recipe, another seed": {"seed"},
    "without still pictures": {"pictures"},
    "without dropped streams": {"drop_flow", "drop_image"},
    "without changes of colour": {"jitter"},
    "without averaged weights": {"averaging"},
    "without the overlap loss": {"overlap_loss"},
    "without bent flow": {"bend_flow"},
    "one size (224) for several": {"sizes"},
    "without drawn clips": {"start", "end"},
    "without ImageNet's encoders": {"encoder"},
}


def test_each_variant_lacks_what_its_name_says() -> None:
    found = {}
    for name, variant in VARIANTS.items():
        recipe = asdict(replace(LIGHT, **variant.changes))
        found[name] = {key for key, value in asdict(LIGHT).items() if recipe[key] != value}
        found[name] |= {"pictures"} if not variant.pictures else set()
        found[name] |= {"encoder"} if not variant.encoder else set()
    assert found == LACKING


def test_what_is_lacking_is_off() -> None:
    for name, fields in LACKING.items():
        for field in fields - {"seed", "pictures", "encoder", "sizes", "start", "end"}:
            assert VARIANTS[name].changes[field] == 0
    drawn = VARIANTS["without drawn clips"].changes
    assert drawn["start"].procedural == drawn["end"].procedural == 0
    assert drawn["start"].davis == LIGHT.start.davis
