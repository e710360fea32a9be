"""Prices: finite numbers from 0 on, written with ASCII digits and a decimal point."""

import math
import re
from decimal import Decimal

# Features are float32, and differences of prices are taken: more than this is a slip.
MAX_PRICE = 1e12

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")


class UnusablePriceError(ValueError):
    """The value is not a price; the message says what one looks like."""


def parse_price(text: str) -> float:
    """Return the price that a cell holds; raises `UnusablePriceError`."""
    if not _NUMBER.fullmatch(text):
        raise UnusablePriceError(
            "is not a price: write digits and at most a decimal point, without currency, sign or separators"
        )
    return check_price(float(text))


def check_price(value: float | Decimal) -> float:
    """Return a price that a database or a program gave as a number; raises `UnusablePriceError`."""
    try:
        price = float(value)
    except OverflowError:
        price = math.inf
    if not math.isfinite(price):
        raise UnusablePriceError("is not a finite number")
    if not 0 <= price <= MAX_PRICE:
        raise UnusablePriceError(f"lies outside of 0 to {MAX_PRICE:.0e}")
    return price
