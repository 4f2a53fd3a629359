"""Texts that say nearly the same, so that no two of them are used: a split shares nothing with another."""

import re
from collections.abc import Iterable

PART, WHOLE = 4, 5  # two texts count as one where they have PART/WHOLE of all their words in common


class Taken:
    """The texts that are used already, by their words."""

    def __init__(self) -> None:
        self._texts: list[frozenset[str]] = []
        self._having: dict[str, list[int]] = {}  # word → indices of the texts that have it

    def draw(self, pool: Iterable[str], count: int) -> list[str]:
        """The pool's first `count` texts that are like none before them, nor like any that is used already."""
        drawn: list[str] = []
        for text in pool:
            if len(drawn) == count:
                break
            if self._add(words_of(text)):
                drawn.append(text)
        return drawn

    def _add(self, words: frozenset[str]) -> bool:
        if self._has_like(words):
            return False
        for word in words:
            self._having.setdefault(word, []).append(len(self._texts))
        self._texts.append(words)
        return True

    def _has_like(self, words: frozenset[str]) -> bool:
        """Whether |a ∩ b| ≥ 4/5 · |a ∪ b| for a text b that is used already, a and b the sets of their words."""
        # Such a b has ⌈4/5 · |a|⌉ of a's words at least, so one of any |a| − ⌈4/5 · |a|⌉ + 1: the rarest are looked up.
        rarest = sorted(words, key=lambda word: (len(self._having.get(word, ())), word))
        asked = rarest[: len(words) + (-PART * len(words)) // WHOLE + 1]
        near = {index for word in asked for index in self._having.get(word, ())}
        return any(are_alike(words, self._texts[index]) for index in near)


def are_alike(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two texts, as sets of words, count as one."""
    return WHOLE * len(one & other) >= PART * len(one | other)


def words_of(text: str) -> frozenset[str]:
    """A text's words in small letters; the text itself where it has none."""
    return frozenset(re.findall(r"\w+", text.lower())) or frozenset([text.strip()])
