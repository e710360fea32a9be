"""Creates the collector's team, projects, DSN key and API token; safe to repeat.

bugsink-manage shell -v0 -c "$(cat bootstrap.py)"     with COLLECTOR_KEY (32 hex) and COLLECTOR_TOKEN (40 hex)

`recsys` is the stack's project. `make verify` reports into `verify`, whose key the collector makes and its API tells.
"""

import os
import uuid

from bsmain.models import AuthToken
from django.contrib.auth import get_user_model
from projects.models import Project, ProjectMembership, ProjectRole
from teams.models import Team, TeamMembership, TeamRole

user = get_user_model().objects.get()
team, _ = Team.objects.get_or_create(name="recsys")
TeamMembership.objects.get_or_create(team=team, user=user, defaults={"role": TeamRole.ADMIN, "accepted": True})
for name, defaults in (
    ("recsys", {"sentry_key": uuid.UUID(os.environ["COLLECTOR_KEY"]), "retention_max_event_count": 1_000_000}),
    ("verify", {"retention_max_event_count": 10_000}),
):
    project, _ = Project.objects.get_or_create(name=name, team=team, defaults=defaults)
    ProjectMembership.objects.get_or_create(
        project=project, user=user, defaults={"role": ProjectRole.ADMIN, "accepted": True}
    )
token = os.environ["COLLECTOR_TOKEN"]
if not AuthToken.objects.filter(token=token).exists():
    AuthToken.create_full_access(token=token, description="recsys")
