"""Decides whether a stack is the demo (data, a trained model, simulators): only while the user has set nothing."""

from collections.abc import Mapping

from provisioning.generated import WEIXIN_CREDENTIALS

OWN = ("BUSINESS_DATABASE_URL", *WEIXIN_CREDENTIALS)
_NO = frozenset({"0", "false", "no", "off"})


def why_no_demo(given: Mapping[str, str]) -> str | None:
    """Return the reason against the demo, or None for a demo; DEMO decides if it is set."""
    demo = given.get("DEMO", "").strip()
    if demo:
        return f"DEMO is {demo}" if demo.lower() in _NO else None
    if own := [name for name in OWN if given.get(name)]:
        return f"{own[0]} is set"
    return "ENVIRONMENT is production" if given.get("ENVIRONMENT") == "production" else None
