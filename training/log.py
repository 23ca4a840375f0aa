"""The log of a training: a CSV file, and its curve as a PNG."""

from __future__ import annotations

import csv
from pathlib import Path

FIELDS = ("iteration", "seconds", "learning_rate", "loss", "J")


class Log:
    """Rows of FIELDS in `log.csv` and the picture `curve.png`, both in one folder. J is empty between validations."""

    def __init__(self, folder: Path, iteration: int) -> None:
        """Start anew at iteration 0; go on after `iteration`, dropping the rows beyond it, at any other."""
        self._csv, self._png = folder / "log.csv", folder / "curve.png"
        self.rows: list[dict[str, str]] = []
        if iteration > 0 and self._csv.is_file():
            with self._csv.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["iteration"]) <= iteration]
        with self._csv.open("w", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            writer.writerows(self.rows)

    def write(
        self, *, iteration: int, seconds: float, learning_rate: float, loss: float, overlap: float | None = None
    ) -> None:
        """Append one row; draw the curve if it brings a J."""
        values = (iteration, f"{seconds:.1f}", f"{learning_rate:.3g}", f"{loss:.4f}")
        row = dict(zip(FIELDS, map(str, (*values, "" if overlap is None else f"{overlap:.4f}")), strict=True))
        self.rows.append(row)
        with self._csv.open("a", newline="") as file:
            csv.DictWriter(file, FIELDS).writerow(row)
        if overlap is not None:
            self.draw()

    def draw(self) -> None:
        """Loss and J over the iterations."""
        from matplotlib.figure import Figure  # an extra; and half a second

        figure = Figure(figsize=(8, 4), layout="constrained")
        left = figure.add_subplot(xlabel="iteration", ylabel="loss")
        right = left.twinx()
        right.set_ylabel("J of the held-out sequences")
        right.set_ylim(0, 1)
        left.plot([int(row["iteration"]) for row in self.rows], [float(row["loss"]) for row in self.rows], "C7")
        measured = [row for row in self.rows if row["J"]]
        right.plot([int(row["iteration"]) for row in measured], [float(row["J"]) for row in measured], "C0o-")
        figure.savefig(self._png, dpi=100)
