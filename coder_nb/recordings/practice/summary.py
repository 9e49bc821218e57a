"""Summaries of the puffins that were weighed."""

import csv
from pathlib import Path

DATA = Path(__file__).parent / "puffins.csv"


def read(path=DATA):
    """The puffins, one dict a bird; what was not measured is an empty string."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def mean_mass(puffins, species):
    """The mean mass of a species, in grams."""
    masses = [float(bird["mass_g"] or 0) for bird in puffins if bird["species"] == species]
    return sum(masses) / len(masses)
