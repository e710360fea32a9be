"""How much more often the first places of an answer are examined, estimated from drawn answers.

Source: Joachims, Swaminathan, Schnabel, "Unbiased Learning-to-Rank with Biased Feedback", WSDM 2017, section 5.1
(intervention by random swaps); here the whole order is random.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.feedback.answers import ShownAnswer


def position_curve(grades: Sequence[NDArray[np.uint8]]) -> list[float]:
    """Return the examination of each place relative to the first, 1 there, by the grades of drawn answers.

    In a random order the datasets are equally good at each place, so the rates of outcomes differ by examination alone.
    It assumes the position-based model: an outcome is an examined place with a wanted dataset. Only answers of the most
    frequent length count, so that each place shows the same queries. Empty without an outcome at the first place.
    """
    if not grades:
        return []
    length = int(np.bincount([len(each) for each in grades]).argmax())
    rates = np.mean([each > 0 for each in grades if len(each) == length], axis=0)
    return [float(rate / rates[0]) for rate in rates] if length and rates[0] > 0 else []


def curve_of(answers: Sequence[ShownAnswer]) -> list[float]:
    """Return the curve of the drawn answers among these."""
    return position_curve([answer.grades for answer in answers if answer.is_drawn])
