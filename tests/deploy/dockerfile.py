"""Reads deploy/Dockerfile: its stages and their steps, as a builder does."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

PROJECT = Path(__file__).parents[2]
DOCKERFILE = PROJECT / "deploy" / "Dockerfile"


@dataclass(frozen=True)
class Step:
    """One instruction."""

    word: str
    text: str

    @property
    def list(self) -> list[str]:
        """Its words, whether it is written as a JSON list or as a line."""
        text = re.sub(r"^(--\S+ )*(CMD )?", "", self.text) if self.word == "HEALTHCHECK" else self.text
        words: list[str] = json.loads(text) if text.startswith("[") else shlex.split(text)
        return words

    @property
    def settings(self) -> dict[str, str]:
        """What an ENV sets."""
        return dict(word.split("=", 1) for word in shlex.split(self.text))


@dataclass
class Stage:
    """What one FROM begins."""

    base: str
    name: str = ""
    steps: list[Step] = field(default_factory=list)

    def last(self, word: str) -> Step:
        """Give the step of a kind that counts: the last one."""
        return [step for step in self.steps if step.word == word][-1]

    @property
    def environment(self) -> dict[str, str]:
        """All that its ENVs set."""
        return {name: value for step in self.steps if step.word == "ENV" for name, value in step.settings.items()}


def stages(path: Path = DOCKERFILE) -> list[Stage]:
    """Read the file."""
    kept = (line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith("#"))
    found: list[Stage] = []
    for line in "\n".join(kept).replace("\\\n", " ").splitlines():
        word, _, text = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = text.partition(" AS ")
            found.append(Stage(base, name))
        else:
            found[-1].steps.append(Step(word, text.strip()))
    return found
