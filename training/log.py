"""Training log: losses as CSV, scores of each held-out sequence as JSON, and a plot as PNG."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from ..runtime.files.atomic import replacing
from .validation import Scores

FIELDS = ("iteration", "seconds", "learning_rate", "loss", "J", "F", "J&F")
_SCORES = FIELDS[4:]


class Log:
    """Writer of `log.csv`, `validation.json` and `curve.png` in one folder.

    log.csv: the columns FIELDS, seconds of training so far and mean loss since the previous row; J, F and J&F are means
    over the held-out sequences in [0, 1], empty except after validations. validation.json: a list of
    {"iteration", "mean": {"J", "F", "J&F"}, "sequences": {name: {"J", "F", "J&F"}}}, one entry per validation.
    """

    def __init__(self, folder: Path, iteration: int) -> None:
        """Start empty if `iteration` is 0; otherwise keep the earlier rows up to `iteration`."""
        self._csv, self._json, self._png = (folder / name for name in ("log.csv", "validation.json", "curve.png"))
        self.rows: list[dict[str, str]] = []
        self.validations: list[dict[str, Any]] = []
        if iteration > 0 and self._csv.is_file():
            with self._csv.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["iteration"]) <= iteration]
        if iteration > 0 and self._json.is_file():
            found = json.loads(self._json.read_text())
            self.validations = [validation for validation in found if validation["iteration"] <= iteration]
        with self._csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(self.rows)
        self._write_validations()

    def write(
        self,
        *,
        iteration: int,
        seconds: float,
        learning_rate: float,
        loss: float,
        scores: dict[str, Scores] | None = None,
    ) -> None:
        """Append one row. scores: scores by sequence after a validation; then the plot is redrawn too."""
        row = dict.fromkeys(FIELDS, "") | {
            "iteration": str(iteration),
            "seconds": f"{seconds:.1f}",
            "learning_rate": f"{learning_rate:.3g}",
            "loss": f"{loss:.4f}",
        }
        if scores:
            mean = Scores.average(list(scores.values())).to_json()
            row |= {key: f"{mean[key]:.4f}" for key in _SCORES}
            by_sequence = {name: score.to_json() for name, score in scores.items()}
            self.validations.append({"iteration": iteration, "mean": mean, "sequences": by_sequence})
        self.rows.append(row)
        with self._csv.open("a", newline="") as file:
            csv.DictWriter(file, FIELDS).writerow(row)
        if scores:
            self._write_validations()
            self.draw()

    def draw(self) -> None:
        """Plot loss, J and F over the iterations to `curve.png`."""
        from matplotlib.figure import Figure  # optional; takes 0.5 s to import

        figure = Figure(figsize=(8, 4), layout="constrained")
        left = figure.add_subplot(xlabel="iteration", ylabel="loss")
        right = left.twinx()
        right.set_ylabel("mean of the held-out sequences")
        right.set_ylim(0, 1)
        left.plot([int(row["iteration"]) for row in self.rows], [float(row["loss"]) for row in self.rows], "C7")
        measured = [row for row in self.rows if row["J"]]
        for key, style in (("J", "C0o-"), ("F", "C1o-")):
            right.plot(
                [int(row["iteration"]) for row in measured], [float(row[key]) for row in measured], style, label=key
            )
        if measured:
            right.legend(loc="lower right")
        figure.savefig(self._png, dpi=100)

    def _write_validations(self) -> None:
        with replacing(self._json) as temporary:
            temporary.write_text(json.dumps(self.validations, indent=1) + "\n")
