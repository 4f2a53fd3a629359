"""Texts of VADER's four domains with their mean ratings, split by document."""

import random
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal, get_args

from neatlab.errors import BadInput
from neatlab.tasks.base import Split
from neatlab.tasks.duplicates import Taken
from neatlab.tasks.encoders import Example
from neatlab.tasks.shipped import SETS

Domain = Literal["tweets", "films", "products", "editorials"]
DOMAINS: tuple[Domain, ...] = get_args(Domain)
CLEAR = 0.5  # a text whose mean rating, −4 to 4, is nearer to 0 has no polarity
SHARES: tuple[tuple[Split, float], ...] = (("test", 0.35), ("validation", 0.45), ("train", 1.0))  # cumulated


@lru_cache(maxsize=16)
def rated_splits(
    domain: Domain, seed: int, counts: tuple[int, int, int], is_rating: bool
) -> dict[Split, list[Example]]:
    """Texts of a domain, no two of them alike, all of one review or editorial in the same split.

    Args:
        domain: Where the texts come from.
        seed: Seed of which texts are taken and where they go.
        counts: Texts to train, validate and test on, of each polarity; twice as many of any rating.
        is_rating: Whether a text has its mean rating, or 1 where that is positive and 0 where it is negative.

    Raises:
        BadInput: The domain has fewer.
    """
    wanted = dict(zip(("train", "validation", "test"), counts, strict=True))
    taken, parts = Taken(), dict[Split, list[Example]]()
    for name, rated in _shared_out(domain, seed).items():
        ratings = dict(reversed(rated))
        if is_rating:
            parts[name] = [Example(text, ratings[text]) for text in taken.draw(ratings, 2 * wanted[name])]
        else:
            pools = [[text for text, r in ratings.items() if sign * r >= CLEAR] for sign in (-1, 1)]
            parts[name] = [Example(t, label) for label in (0, 1) for t in taken.draw(pools[label], wanted[name])]
        if len(parts[name]) < 2 * wanted[name]:
            raise BadInput(f"{domain}: only {len(parts[name])} texts to {name} on; take fewer with per_polarity=")
    return parts


def _shared_out(domain: Domain, seed: int) -> dict[Split, list[tuple[str, float]]]:
    """All texts of the domain with their ratings, in the seed's order, by the split that their document goes to."""
    documents: dict[str, list[tuple[str, float]]] = {}
    for place, document, rating, text in SETS["vader"].rows:
        if place == domain:
            documents.setdefault(document, []).append((text, float(rating)))
    draw = random.Random(seed)  # noqa: S311  # draws texts, no secret
    order = draw.sample(sorted(documents), len(documents))
    return {name: _shuffled(part, documents, draw) for name, part in _cut(order).items()}


def _cut(order: Sequence[str]) -> dict[Split, Sequence[str]]:
    ends = [round(share * len(order)) for _, share in SHARES]
    return {name: order[slice(*cut)] for (name, _), cut in zip(SHARES, pairwise([0, *ends]), strict=True)}


def _shuffled(
    part: Sequence[str], documents: dict[str, list[tuple[str, float]]], draw: random.Random
) -> list[tuple[str, float]]:
    rated = [pair for document in part for pair in documents[document]]
    return draw.sample(rated, len(rated))
