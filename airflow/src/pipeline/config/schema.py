"""The keys of `pipeline.yaml`. The defaults stand where the code uses them; `airflow/pipeline.yaml` lists them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from contracts.features import CHANNELS, TRAINED_FEATURES
from pipeline.config.searched_key import DEFAULT_SPACE, SearchedKey
from pipeline.evaluate import EvaluationSettings
from pipeline.feedback.examples import FeedbackSettings
from pipeline.train import TrainSettings
from ranking.own_columns import MAX_COLUMNS, MAX_SQL_CHARS, NO_CATEGORY, OwnColumn, OwnColumns
from ranking.recall import RecallSettings
from ranking.replay import Kind

_RECALL, _TRAINING, _EVALUATION = RecallSettings(), TrainSettings(), EvaluationSettings()
_FEEDBACK = FeedbackSettings()
_FEATURES = tuple(feature.name for feature in TRAINED_FEATURES)
# An evaluation part holds histories of so many entries, and must rank as the model does.
_MAX_HISTORY = 50
# Bit masks have one bit for each leaf of a tree.
_MAX_LEAVES = 64
# The channels that need neither a history nor a dataset.
_OF_NEW_USERS = ("popular", "popular_30d")


def _one_of(known: Sequence[str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"there is no {name}; there are {', '.join(known)}")
        return name

    return AfterValidator(check)


def _each_name_once(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise ValueError("a name stands here twice")
    return values


def _within_the_schema(searched: SearchedKey) -> SearchedKey:
    config = PipelineConfig()
    current = config.value_of(searched.key)
    if searched.choices is None and (isinstance(current, bool) or not isinstance(current, int | float)):
        raise ValueError(f"{searched.key} is not a number: write choices")
    for value in searched.extremes():
        try:
            config.with_values({searched.key: value})
        except ValidationError as error:
            first = error.errors()[0]
            raise ValueError(f"{searched.key}: {value}: {first['msg'].removeprefix('Value error, ')}") from error
    return searched


def _each_key_once(parameters: list[SearchedKey]) -> list[SearchedKey]:
    _each_name_once([searched.key for searched in parameters])
    return parameters


Size = Annotated[int, Field(ge=0, le=500)]
Share = Annotated[float, Field(ge=0, le=1)]
_Tried = Annotated[float, Field(gt=0, le=100_000)]
# Each value costs a replay of up to 3,000 queries.
Tried = Annotated[list[_Tried], Field(min_length=1, max_length=8)]


class _Section(BaseModel):
    # Strict: `true` is not the number 1, and "7" is a text.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RecallConfig(_Section):
    """Which datasets the ranker gets to order."""

    channels: Annotated[
        dict[Annotated[str, _one_of(CHANNELS)], Size],
        Field(description="The most datasets that each channel proposes; 0 switches a channel off"),
    ] = _RECALL.channel_sizes
    seed_items: Annotated[
        int, Field(ge=1, le=_MAX_HISTORY, description="Newest datasets of a history that content and vector start from")
    ] = _RECALL.seed_items

    @model_validator(mode="after")
    def _serves_new_users(self) -> Self:
        if not any(self.channels.get(channel) for channel in _OF_NEW_USERS):
            both = " and ".join(_OF_NEW_USERS)
            raise ValueError(f"{both} are both off: users without a history would get nothing; give one of them a size")
        return self


class HistoryConfig(_Section):
    """How fast the weight of a history falls: training tries each value, and takes the best by nDCG@10 of the votes."""

    length: Annotated[int, Field(ge=1, le=_MAX_HISTORY, description="The newest datasets of a user that count")] = (
        _RECALL.history_length
    )
    half_lives_days: Annotated[
        Tried, Field(description="By time, for the channel history; a single value is taken without a trial")
    ] = list(_TRAINING.half_lives_days)
    recent_ranks: Annotated[
        Tried, Field(description="By rank, for recent and transition: after so many newer datasets, 1/e is left")
    ] = list(_TRAINING.recent_ranks)


class KindShares(_Section):
    """Shares of the queries by endpoint."""

    user: Annotated[float, Field(ge=0.1, le=1, description="As /recommend/user gets them")] = _TRAINING.kind_shares[
        Kind.USER
    ]
    detail: Annotated[Share, Field(description="As /recommend/detail gets them")] = _TRAINING.kind_shares[Kind.DETAIL]
    similar: Annotated[Share, Field(description="As /similar gets them")] = _TRAINING.kind_shares[Kind.SIMILAR]

    @model_validator(mode="after")
    def _add_up(self) -> Self:
        if abs(self.user + self.detail + self.similar - 1) > 1e-6:
            raise ValueError(f"user, detail and similar add up to {self.user + self.detail + self.similar:g}, not to 1")
        return self


class QueriesConfig(_Section):
    """The queries of the past that the ranker learns from."""

    most: Annotated[int, Field(ge=100, le=10_000_000, description="The most queries; they decide time and memory")] = (
        _TRAINING.queries
    )
    per_user: Annotated[
        int, Field(ge=1, le=1000, description="The most queries about the last datasets of one user")
    ] = _TRAINING.targets_per_user
    late: Annotated[
        Share,
        Field(description="Share of the queries that are taken from the newest of all, not from each user's last"),
    ] = _TRAINING.late_queries
    newest: Annotated[
        float, Field(gt=0, lt=1, description="Which are the newest of all, as a share of all new datasets of users")
    ] = _TRAINING.late_share
    negatives: Annotated[
        int, Field(ge=1, le=1000, description="The most other candidates that are compared with the one taken")
    ] = _TRAINING.negatives
    kinds: Annotated[KindShares, Field(description="Shares by endpoint; they add up to 1")] = KindShares()


class FeedbackConfig(_Section):
    """What training learns from exposures and their outcomes: what was shown and not taken stands below what was."""

    enabled: Annotated[
        bool, Field(description="Learn from them once there are enough; false: only from interactions")
    ] = _FEEDBACK.is_used
    days: Annotated[int, Field(ge=1, le=365, description="The newest days of exposures that count")] = _FEEDBACK.days
    most: Annotated[
        int, Field(ge=100, le=1_000_000, description="The most answers that are read; they decide time and memory")
    ] = _FEEDBACK.most
    least: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="Fewer answers with an outcome than this change nothing"),
    ] = _FEEDBACK.least
    half_life_days: Annotated[_Tried, Field(description="After so many days, an answer counts half")] = (
        _FEEDBACK.half_life_days
    )
    favorite: Annotated[float, Field(gt=0, le=100, description="Gain of a favourite; that of a click is 1")] = (
        _TRAINING.label_gains[2]
    )
    purchase: Annotated[float, Field(gt=0, le=100, description="Gain of a purchase")] = _TRAINING.label_gains[3]


class FeaturesConfig(_Section):
    """What the ranker sees of a candidate."""

    leave_out: Annotated[
        list[Annotated[str, _one_of(_FEATURES)]],
        AfterValidator(_each_name_once),
        Field(max_length=len(_FEATURES) - 1, description="Features that the ranker is trained without, by their names"),
    ] = list(_TRAINING.left_out_features)


class ColumnConfig(_Section):
    """One declared column."""

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,39}$", description="Lower-case letters, digits and _")]
    sql: Annotated[
        str,
        Field(
            min_length=1, max_length=MAX_SQL_CHARS, description="An expression over a row, or a SELECT of id and value"
        ),
    ]
    type: Annotated[Literal["number", "category"], Field(description="A category is a text or a whole number")]
    default: Annotated[float, Field(ge=-1e30, le=1e30, description="Of a number that is NULL or not finite")] = 0.0

    @model_validator(mode="after")
    def _has_a_default_of_its_type(self) -> Self:
        if self.type == "category" and self.default != NO_CATEGORY:
            raise ValueError("a category has no default: a value that is not known has the code 0")
        return self


_Columns = Annotated[list[ColumnConfig], Field(max_length=MAX_COLUMNS)]


class ColumnsConfig(_Section):
    """Columns of your own that the ranker sees: each a name, an SQL expression, a type and a default."""

    datasets: Annotated[_Columns, Field(description="A number or a category of each dataset")] = []
    users: Annotated[_Columns, Field(description="Of each user")] = []

    @model_validator(mode="after")
    def _fit(self) -> Self:
        self.declared()
        return self

    def declared(self) -> OwnColumns:
        """Return the columns, still without categories; raises `ValueError` if they don't fit one another."""
        halves = {
            half: tuple(OwnColumn(**column.model_dump()) for column in getattr(self, half))
            for half in ("datasets", "users")
        }
        try:
            return OwnColumns(**halves)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error


class RankerConfig(_Section):
    """LightGBM's parameters."""

    trees: Annotated[int, Field(ge=1, le=2000, description="Number of trees; serving takes time for each")] = (
        _TRAINING.trees
    )
    leaves: Annotated[
        int, Field(ge=2, le=_MAX_LEAVES, description="The most leaves of a tree; 64 is the most of the bit masks")
    ] = _TRAINING.leaves
    learning_rate: Annotated[float, Field(gt=0, le=1, description="Weight of each tree")] = _TRAINING.learning_rate
    feature_fraction: Annotated[
        float, Field(gt=0, le=1, description="Share of the features that each tree may use")
    ] = _TRAINING.feature_fraction


class GateConfig(_Section):
    """What decides whether the trained ranker is served."""

    simple_orders: Annotated[
        bool,
        Field(description="Serve the best simple order if the ranker is not ahead of it; false: always the ranker"),
    ] = _TRAINING.simple_orders


class SearchConfig(_Section):
    """What `pipeline search` tries; a training doesn't read it."""

    parameters: Annotated[
        list[Annotated[SearchedKey, AfterValidator(_within_the_schema)]],
        AfterValidator(_each_key_once),
        Field(
            min_length=1,
            max_length=30,
            description="Keys from low to high, with log: true small values as often as large ones; or choices: [...]",
        ),
    ] = list(DEFAULT_SPACE)


class EvaluationConfig(_Section):
    """How a model is measured; it changes no model."""

    global_split: Annotated[
        bool, Field(description="Measure the split by time, too; it costs a training, and `pipeline compare` needs it")
    ] = _EVALUATION.global_split
    baselines: Annotated[bool, Field(description="Measure nine simple models on the same queries")] = (
        _EVALUATION.baselines
    )
    queries: Annotated[int, Field(ge=100, le=1_000_000, description="The most queries of a protocol")] = (
        _EVALUATION.queries
    )


# The other sections change no ranker, or are the search itself.
_SEARCHABLE = {"recall", "history", "queries", "features", "ranker"}


def _flat(section: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


class PipelineConfig(_Section):
    """All of it."""

    recall: RecallConfig = RecallConfig()
    history: HistoryConfig = HistoryConfig()
    queries: QueriesConfig = QueriesConfig()
    feedback: FeedbackConfig = FeedbackConfig()
    features: FeaturesConfig = FeaturesConfig()
    columns: ColumnsConfig = ColumnsConfig()
    ranker: RankerConfig = RankerConfig()
    search: SearchConfig = SearchConfig()
    gate: GateConfig = GateConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    def value_of(self, key: str) -> Any:
        """Return the value of a dotted key that decides what is trained; raises `ValueError` for another key."""
        # Shares that add up to 1 can't be changed one by one.
        known = dict(_flat(self.model_dump(include=_SEARCHABLE, exclude={"queries": {"kinds"}})))
        if key not in known:
            raise ValueError(f"there is no {key} to search; there are {', '.join(known)}")
        return known[key]

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Return the configuration with values of such keys; raises `ValidationError` if they are not allowed."""
        document = self.model_dump(exclude={"search"})
        for key, value in values.items():
            *sections, name = key.split(".")
            place = document
            for section in sections:
                place = place[section]
            place[name] = value
        return self.model_validate(document).model_copy(update={"search": self.search})

    def recall_settings(self) -> RecallSettings:
        """Return the settings of recall; of several weights of a history, the default stands until one is chosen."""
        lives, ranks = self.history.half_lives_days, self.history.recent_ranks
        return RecallSettings(
            channel_sizes=self.recall.channels,
            history_length=self.history.length,
            history_half_life_days=lives[0] if len(lives) == 1 else _RECALL.history_half_life_days,
            recent_ranks=ranks[0] if len(ranks) == 1 else _RECALL.recent_ranks,
            seed_items=self.recall.seed_items,
        )

    def train_settings(self, *, threads: int, seed: int) -> TrainSettings:
        """Return the settings of training."""
        queries, kinds = self.queries, self.queries.kinds
        return TrainSettings(
            queries=queries.most,
            targets_per_user=queries.per_user,
            late_queries=queries.late,
            late_share=queries.newest,
            negatives=queries.negatives,
            kind_shares={Kind.USER: kinds.user, Kind.DETAIL: kinds.detail, Kind.SIMILAR: kinds.similar},
            half_lives_days=tuple(self.history.half_lives_days),
            recent_ranks=tuple(self.history.recent_ranks),
            left_out_features=tuple(self.features.leave_out),
            trees=self.ranker.trees,
            leaves=self.ranker.leaves,
            learning_rate=self.ranker.learning_rate,
            feature_fraction=self.ranker.feature_fraction,
            simple_orders=self.gate.simple_orders,
            threads=threads,
            seed=seed,
            label_gains=(0.0, 1.0, self.feedback.favorite, self.feedback.purchase),
        )

    def feedback_settings(self) -> FeedbackSettings:
        """Return which exposures a training uses."""
        chosen = self.feedback
        return FeedbackSettings(chosen.enabled, chosen.days, chosen.most, chosen.least, chosen.half_life_days)

    def evaluation_settings(self) -> EvaluationSettings:
        """Return the settings of the evaluation."""
        chosen = self.evaluation
        return EvaluationSettings(chosen.global_split, chosen.baselines, chosen.queries)
