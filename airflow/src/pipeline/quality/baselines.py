"""Finds the profiles of earlier good runs, with which a run compares itself."""

from datetime import datetime

from pipeline.artifacts import folders_below, join, read_file
from pipeline.quality.profile import PROFILE, Profile, parse_profile


def earlier_profiles(run: str, now: datetime) -> list[Profile]:
    """Return the profiles of the good runs before `now`, in the order of time; a good run has made a bundle."""
    runs, _, name = run.rstrip("/").rpartition("/")
    found = []
    for other in folders_below(runs):
        address = join(runs, other)
        if other != name and "bundle" in folders_below(address):
            content = read_file(join(address, "clean", PROFILE))
            profile = None if content is None else parse_profile(content)
            # A run of an earlier release has none.
            if profile is not None and profile.as_of < now:
                found.append(profile)
    return sorted(found, key=lambda profile: profile.as_of)
