"""The alert pipeline: signals, timers and people's actions become incidents, summaries and messages in the outbox."""

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from notification_gateway.actions.service import IncidentActions
from notification_gateway.alerting.escalation import Escalation
from notification_gateway.alerting.expiry import IncidentExpiry
from notification_gateway.alerting.notifier import IncidentNotifier
from notification_gateway.alerting.orphans import OrphanedSymptoms
from notification_gateway.alerting.reminders import Reminders
from notification_gateway.alerting.unattended import UnattendedIncidents
from notification_gateway.chores import add_chore
from notification_gateway.expected_runs import ExpectedRuns
from notification_gateway.messages.composer import Composer
from notification_gateway.policy.mentions import split_mentions
from notification_gateway.policy.model import Policy
from notification_gateway.policy.watching import PolicyFile
from notification_gateway.settings import Settings
from notification_gateway.signals.intake import Intake
from notification_gateway.storage import Storage
from notification_gateway.summaries.closing import Summaries
from notification_gateway.summaries.periods import Periods
from servicekit.background import BackgroundLoops

INTERVAL_SECONDS = 5.0


class AlertPipeline:
    """`on_stored` is called, from any thread, when there may be something to send."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        policy_file: PolicyFile,
        composer: Composer,
        clock: Callable[[], datetime],
        *,
        on_stored: Callable[[], None],
    ) -> None:
        periods = Periods(ZoneInfo(settings.alert_timezone), settings.alert_digest_hour)
        notifier = IncidentNotifier(composer, periods.start, split_mentions(settings.weixin_mention))

        def policy() -> Policy:
            return policy_file.policy

        unattended = UnattendedIncidents(storage, policy, clock, on_stored)
        hours = settings.expected_run_hours
        within = timedelta(hours=hours) if hours else None
        self.intake = Intake(storage, policy, notifier, clock, on_stored, period_start=periods.start)
        self.actions = IncidentActions(storage, notifier, clock, on_stored)
        self.summaries = Summaries(storage, composer, periods, clock, on_stored)
        self.expiry = IncidentExpiry(storage, notifier, clock)
        self.orphans = OrphanedSymptoms(unattended, notifier)
        self.reminders = Reminders(unattended, notifier)
        self.escalation = Escalation(unattended, notifier)
        self.expected_runs = ExpectedRuns(storage, settings.sentry_environment, within, clock)

    def add_loops(self, loops: BackgroundLoops) -> None:
        """Add the periodic chores."""
        add_chore(loops, "incident expiry", self.expiry.resolve, INTERVAL_SECONDS)
        add_chore(loops, "orphaned symptoms", self.orphans.release, INTERVAL_SECONDS)
        add_chore(loops, "reminders", self.reminders.remind, INTERVAL_SECONDS)
        add_chore(loops, "escalation", self.escalation.escalate, INTERVAL_SECONDS)
        add_chore(loops, "summaries", self.summaries.close_due, INTERVAL_SECONDS)
        add_chore(loops, "expected runs", self.expected_runs.check, INTERVAL_SECONDS)
