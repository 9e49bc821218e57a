"""What the scripted model says and does in the first lesson: our own texts, in the order of its responses."""

from __future__ import annotations

from typing import Any, NamedTuple

FIX = (
    "The Tufted puffins should be the heaviest, but summary.py says that they are lighter than the Horned ones. "
    "Find out why, and fix it."
)
TEST = "Add a test that would have caught it, and run the tests."
SPREAD = "Which of the three species varies most in mass?"


class Response(NamedTuple):
    """One response of the model: what it thinks, says, and which tool it calls."""

    reasoning: str = ""
    text: str = ""
    tool: str = ""
    arguments: dict[str, Any] = {}  # noqa: RUF012  # a NamedTuple is frozen


def plan(*done: str) -> Response:
    steps = ("Read the function and the data", "Find what lowers the mean", "Mend the function")
    rows = [{"content": text, "status": status, "priority": "medium"} for text, status in zip(steps, done, strict=True)]
    return Response(tool="todowrite", arguments={"todos": rows})


EXPLANATION = """\
Found it. A bird that was not weighed has an **empty** `mass_g`, and `mean_mass` takes that for a mass of zero:

```python
masses = [float(bird["mass_g"] or 0) for bird in puffins if bird["species"] == species]
```

Empty means *not known*, which is not the same as 0. Three of the seven Tufted puffins were never weighed, so \
their mean comes out far too low:

| species | weighed | mean now | mean of those weighed |
|---|---|---|---|
| Atlantic | 6 of 7 | 393.0 g | 458.5 g |
| Horned | 6 of 7 | 501.9 g | 585.5 g |
| Tufted | 4 of 7 | 427.4 g | 748.0 g |

I will leave out the birds that were not weighed."""

OLD_FUNCTION = '''\
    """The mean mass of a species, in grams."""
    masses = [float(bird["mass_g"] or 0) for bird in puffins if bird["species"] == species]
    return sum(masses) / len(masses)
'''
NEW_FUNCTION = '''\
    """The mean mass of the birds of a species that were weighed, in grams; nan where none was."""
    masses = [float(bird["mass_g"]) for bird in puffins if bird["species"] == species and bird["mass_g"]]
    return sum(masses) / len(masses) if masses else float("nan")
'''
OLD_TEST = '        self.assertEqual(mean_mass(puffins, "Tufted"), 750)\n'
NEW_TEST = (
    OLD_TEST
    + """\

    def test_a_bird_that_was_not_weighed_is_left_out(self):
        puffins = [{"species": "Tufted", "mass_g": "800"}, {"species": "Tufted", "mass_g": ""}]
        self.assertEqual(mean_mass(puffins, "Tufted"), 800)
"""
)


def edit(name: str, old: str, new: str) -> dict[str, Any]:
    return {"filePath": name, "oldString": old, "newString": new}


TURNS: dict[str, tuple[Response, ...]] = {
    FIX: (
        Response(
            reasoning="One species comes out too light. Either the data is wrong, or the function that reads it. "
            "I should look at both before I change anything.",
            text="I will read the function first, and then the data that it is given.",
        )._replace(tool="todowrite", arguments=plan("in_progress", "pending", "pending").arguments),
        Response(tool="read", arguments={"filePath": "summary.py"}),
        Response(tool="read", arguments={"filePath": "puffins.csv"}),
        Response(
            reasoning="`float(bird['mass_g'] or 0)`: an empty string counts as 0, and the bird still counts. "
            "T1, T3 and T6 have no mass. That is why.",
            text=EXPLANATION,
            tool="edit",
            arguments=edit("summary.py", OLD_FUNCTION, NEW_FUNCTION),
        ),
        plan("completed", "completed", "completed"),
        Response(
            text="`mean_mass` now takes the mean of the birds that were weighed. Where none was, it returns `nan`, "
            "which pandas and every plot treat as missing, instead of a number that looks real."
        ),
    ),
    TEST: (
        Response(
            text="I will see how the tests are written, so that the new one fits in.",
            tool="read",
            arguments={"filePath": "test_summary.py"},
        ),
        Response(
            reasoning="One bird with a mass and one without is enough: the old function gives half of it.",
            text="One bird that was weighed and one that was not is all that it takes:",
            tool="edit",
            arguments=edit("test_summary.py", OLD_TEST, NEW_TEST),
        ),
        Response(
            tool="bash",
            arguments={"command": "python3 -m unittest -v", "description": "Run the tests"},
        ),
        Response(
            text="Both tests pass. The new one would have caught it: the old function gives **400** instead of 800."
        ),
    ),
    SPREAD: (
        Response(
            text="The **Atlantic** ones: from 426 to 489 g, which is 14 % of their mean. The Horned ones (559 to "
            "600 g) and the Tufted ones (729 to 784 g) vary by 7 % each. But only four Tufted ones were weighed: "
            "I would weigh more of them before I compare."
        ),
    ),
}
"""The model's responses to each prompt."""
