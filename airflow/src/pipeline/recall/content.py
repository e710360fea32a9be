"""Content vectors: TF-IDF over title, tags and description, reduced to dense unit vectors."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pipeline.recall.svd import item_factors, unit_rows
from pipeline.records import Records

_DIMENSIONS = 64
_TITLE_WEIGHT, _TAG_WEIGHT = 2, 3
# Words, and single characters of scripts that are written without spaces.
_TOKEN = re.compile(r"[一-鿿぀-ヿ가-힣]|[^\W_一-鿿぀-ヿ가-힣]{2,}")
_MAX_SHARE = 0.5


def content_vectors(records: Records, seed: int) -> NDArray[np.float32]:
    """Return float32 [n, ≤ 64] of unit rows; zeros for a dataset that has no word in common with another."""
    catalogue = records.catalogue
    documents = [
        _terms(title, tags, description)
        for title, tags, description in zip(catalogue.titles, catalogue.tags, records.descriptions, strict=True)
    ]
    weights = _tf_idf(documents)
    if not weights.nnz:
        return np.zeros((len(catalogue), 1), np.float32)
    return unit_rows(item_factors(sparse.csr_array(weights.T), _DIMENSIONS, seed))


def _terms(title: str, tags: Iterable[str], description: str | None) -> Counter[str]:
    terms: Counter[str] = Counter()
    for token in _tokens(title):
        terms[token] += _TITLE_WEIGHT
    for tag in tags:
        terms[f"tag:{tag.casefold()}"] += _TAG_WEIGHT
    terms.update(_tokens(description or ""))
    return terms


def _tokens(text: str) -> list[str]:
    tokens = _TOKEN.findall(text.casefold())
    pairs = [a + b for a, b in pairwise(tokens) if len(a) == len(b) == 1]
    return tokens + pairs


def _tf_idf(documents: list[Counter[str]]) -> sparse.csr_array:
    """Return unit rows float32 [n, terms] over the terms that at least two documents and at most half of all have."""
    n = len(documents)
    frequency = Counter(term for terms in documents for term in terms)
    most = max(2, int(n * _MAX_SHARE))
    vocabulary = {
        term: column for column, term in enumerate(sorted(t for t, df in frequency.items() if 2 <= df <= most))
    }
    entries = [
        (row, vocabulary[term], (1 + np.log(count)) * np.log(n / frequency[term]))
        for row, terms in enumerate(documents)
        for term, count in terms.items()
        if term in vocabulary
    ]
    rows, columns, values = zip(*entries, strict=True) if entries else ((), (), ())
    matrix = sparse.csr_array((np.array(values, np.float32), (rows, columns)), shape=(n, max(1, len(vocabulary))))
    norms = np.sqrt(matrix.multiply(matrix).sum(axis=1))
    return sparse.csr_array(sparse.diags_array(1.0 / np.maximum(norms, 1e-9)).astype(np.float32) @ matrix)
