"""Demo datasets and users."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.business.content import DATASETS, USERS
from pipeline.demo.vocabulary import COMPANY_WORDS, FORMS, PLACES, PROVIDERS, TOPICS

_NICHES = [(topic, niche, words) for topic, niches in TOPICS.items() for niche, words in niches.items()]
_PRICES = np.array([29.0, 199.0, 1290.0])


@dataclass(frozen=True)
class Shelf:
    """The datasets as a table, and the drivers of their demand; all arrays [n].

    `born` and `burst` are shares of the window (0 and below: older than it); `price_level` is 0, 1 or 2.
    """

    table: pa.Table
    niche: NDArray[np.int64]
    popularity: NDArray[np.float64]
    price: NDArray[np.float64]
    price_level: NDArray[np.int64]
    born: NDArray[np.float64]
    burst: NDArray[np.float64]
    cold: NDArray[np.bool_]


def make_datasets(rng: np.random.Generator, n: int, start: int, seconds: int, cold: int) -> Shelf:
    """Return `n` datasets; the last `cold` have just arrived, and their text is similar to no other. Ids are 1 … n."""
    niche = rng.integers(0, len(_NICHES), n)
    price_level = rng.integers(0, 3, n)
    price = np.round(_PRICES[price_level] * rng.lognormal(0, 0.4, n), 1)
    free = (price_level == 0) & (rng.random(n) < 0.25)
    price[free] = 0.0
    born = np.where(rng.random(n) < 0.25, rng.random(n), -rng.random(n) * 8)
    is_cold = np.arange(n) >= n - cold
    born[is_cold] = 1.0 - 1e-4
    created = (start + born * seconds).astype(np.int64)
    rows = [
        _cold_row(number, number - (n - cold) + 1) if is_cold[number] else _row(rng, number, int(niche[number]))
        for number in range(n)
    ]
    columns = {name: [row.get(name) for row in rows] for name in rows[0]}
    times = pa.array(created * 1_000_000, pa.timestamp("us", tz="UTC"))
    values = columns | {"price": price, "created_at": times, "updated_at": times, "is_deleted": np.zeros(n, np.bool_)}
    return Shelf(
        pa.table([values[name] for name in DATASETS.names], schema=DATASETS),
        niche,
        rng.pareto(1.1, n) + 0.2,
        price,
        price_level,
        born,
        rng.random(n) * 1.3,
        is_cold,
    )


def _row(rng: np.random.Generator, number: int, niche: int) -> dict[str, str | None]:
    topic, subject, words = _NICHES[niche]
    _, city = PLACES[rng.integers(len(PLACES))]
    form = FORMS[rng.integers(len(FORMS))]
    year = int(rng.integers(2015, 2026))
    chosen = rng.permutation(len(words))[:3]
    # A provider has a field: most of its datasets are of a few topics.
    provider = PROVIDERS[(niche // 5 * 2 + int(rng.integers(0, 4))) % len(PROVIDERS)]
    keywords = [words[index] for index in chosen]
    return {
        "external_id": str(number + 1),
        "title": f"{city} {subject}, {form} {year}",
        "description": (
            f"{form.capitalize()} of {subject} in {city} from {year} on, with {keywords[0]}, {keywords[1]} and "
            f"{keywords[2]} fields. Delivered by {provider}."
        ),
        "tags": ";".join((topic, *keywords[:2])),
        "provider": provider,
        "cover_image": f"https://img.example.com/datasets/{number + 1}.jpg" if rng.random() < 0.8 else None,
    }


def _cold_row(number: int, cold: int) -> dict[str, str | None]:
    return {
        "external_id": str(number + 1),
        "title": f"zqx{cold}k{cold * 7919:06d}",
        "description": None,
        "tags": None,
        "provider": None,
        "cover_image": None,
    }


def make_users(rng: np.random.Generator, n: int, start: int) -> pa.Table:
    """Return `n` companies that joined in the two years before `start` (Unix seconds)."""
    place = rng.integers(0, len(PLACES), n)
    first, second, third = (rng.integers(0, len(words), n) for words in COMPANY_WORDS)
    names = [
        f"{COMPANY_WORDS[0][a]} {COMPANY_WORDS[1][b]} {COMPANY_WORDS[2][c]}"
        for a, b, c in zip(first, second, third, strict=True)
    ]
    created = start - rng.integers(0, 730 * 86_400, n)
    return pa.table(
        [
            [str(number + 1) for number in range(n)],
            names,
            [PLACES[index][0] for index in place],
            [PLACES[index][1] for index in place],
            pa.array(created * 1_000_000, pa.timestamp("us", tz="UTC")),
        ],
        schema=USERS,
    )
