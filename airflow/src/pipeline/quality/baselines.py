"""Finds the profiles of earlier good runs, with which a run compares itself."""

from collections.abc import Iterable
from datetime import datetime

from pipeline.artifacts import folders_below, join, read_file
from pipeline.quality.profile import PROFILE, Profile, parse_profile


def earlier_profiles(runs: Iterable[str], now: datetime) -> list[Profile]:
    """Return the profiles of the good ones of the runs before `now`, in the order of time.

    `runs` are addresses. A good run has made a bundle.
    """
    found = []
    for address in runs:
        if "bundle" in folders_below(address):
            content = read_file(join(address, "clean", PROFILE))
            profile = None if content is None else parse_profile(content)
            # A run of an earlier release has none.
            if profile is not None and profile.as_of < now:
                found.append(profile)
    return sorted(found, key=lambda profile: profile.as_of)
