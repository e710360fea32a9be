"""The command line: fill the business database, run the pipeline, measure it.

Exit codes: 0 done, or nothing to train or to refresh; 1 the run failed, or a service rejected a request or is
unavailable; 2 unusable call, settings or data; 3 the answer at a service's address is not the service's; 70 a fault of
this program; 130 interrupted.
"""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

from pydantic import ValidationError
from threadpoolctl import threadpool_limits

import monitoring
from contracts.command_line import complain, printable, run_command, say
from contracts.moments import UnusableMomentError, parse_moment
from pipeline.business.content import Content
from pipeline.business.database import open_engine
from pipeline.business.load import is_empty, replace_content
from pipeline.demo import DemoSize, generate
from pipeline.errors import InputError, NothingToDoError, PipelineError
from pipeline.importers.sources import SOURCES, Imported, ImportOptions, find_source, read_source
from pipeline.importers.summary import Summary
from pipeline.report import metrics_table
from pipeline.settings import Settings
from pipeline.steps import (
    EVALUATION,
    STEPS,
    RunInfo,
    RunKind,
    Step,
    begin_run,
    check_run_id,
    continue_run,
    find_latest_training,
    find_run,
    load_metrics,
    load_quarantine,
    load_run_info,
    refresh_run_id,
    run_step,
    run_steps,
    step_of,
    steps,
    time_run_id,
)
from pipeline.steps.report import reported
from pipeline.steps.run_info import REFRESH_PREFIX
from ranking.evaluation import TOLERANCE, ModelVerdict

_DEMO = DemoSize()
# As in Airflow: a run that starts later than the next nightly one is about the past.
_PAST = timedelta(days=1)
_MAX_COUNT_DIGITS = 9
_EXAMPLES = 3
_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return run_command("pipeline", lambda: _execute_command(arguments))


def _execute_command(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        settings = Settings()
    except ValidationError as error:
        first = error.errors()[0]
        return _fail(InputError(f"{'.'.join(map(str, first['loc'])).upper()}: {first['msg']}"))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    monitoring.init("pipeline", settings, secrets=settings.secrets())
    try:
        options.command(settings, options)
    except NothingToDoError as nothing:
        _say(str(nothing))
        return nothing.exit_code
    except PipelineError as error:
        return _fail(error)
    except OSError as error:
        # A missing folder, a full disk or an unreachable store: not a fault of this program.
        what = error.strerror or str(error) or type(error).__name__
        return _fail(PipelineError(f"{error.filename or ''}: {what}".lstrip(": ")))
    finally:
        monitoring.flush()
    return 0


def _fail(error: PipelineError) -> int:
    complain("pipeline", printable(str(error)))
    return error.exit_code


def _say(text: str) -> None:
    say(printable(text))


def _demo(settings: Settings, options: argparse.Namespace) -> None:
    engine = open_engine(settings.business_database_url.get_secret_value(), "BUSINESS_DATABASE_URL")
    if options.if_empty and not is_empty(engine):
        _say("the business database already has content, which stays")
        return
    size = DemoSize(options.datasets, options.users, options.interactions)
    content = generate(size, options.seed, datetime.now(UTC))
    replace_content(engine, content)
    _print_loaded(content)


def _import(settings: Settings, options: argparse.Namespace) -> None:
    if options.source == "demo":
        content = generate(_DEMO, settings.seed, datetime.now(UTC))
    elif options.dir is None:
        raise InputError(f"--source {options.source} needs --dir DIR")
    else:
        content = _read_source(settings, options.source, options.dir).content
    engine = open_engine(settings.business_database_url.get_secret_value(), "BUSINESS_DATABASE_URL")
    replace_content(engine, content)
    _print_loaded(content)


def _check(settings: Settings, options: argparse.Namespace) -> None:
    _read_source(settings, options.source or find_source(options.dir), options.dir)
    _say("no bad rows; nothing was loaded")


def _read_source(settings: Settings, source: str, folder: Path) -> Imported:
    imported = read_source(source, folder, ImportOptions(datetime.now(UTC), settings.encoding, settings.zone))
    for line in Summary(imported, settings.zone).lines():
        _say(line)
    return imported


def _print_loaded(content: Content) -> None:
    counts = (len(content.datasets), len(content.users), len(content.interactions))
    _say("loaded {:,} datasets, {:,} users, {:,} interactions into the business database".format(*counts))


def _run(settings: Settings, options: argparse.Namespace) -> None:
    run = _begin_or_continue(settings, options, "training")
    publish = load_run_info(run).publish
    _execute(settings, steps(publish=publish), run, resume=options.resume, expected=publish)
    _say(metrics_table(settings.model_name, load_metrics(run)))
    _say(f"bundle: {run}/bundle/bundle.tar.gz")


def _refresh(settings: Settings, options: argparse.Namespace) -> None:
    run = _begin_or_continue(settings, options, "refresh")
    chosen = steps(publish=load_run_info(run).publish, kind="refresh")
    # The gateway expects trainings: a refresh must not hide that they fail.
    _execute(settings, chosen, run, resume=options.resume, expected=False)
    _say(f"bundle: {run}/bundle/bundle.tar.gz")


def _begin_or_continue(settings: Settings, options: argparse.Namespace, kind: RunKind) -> str:
    return _continue(settings, options, kind) if options.resume else _begin(settings, options, kind)


def _evaluate(settings: Settings, options: argparse.Namespace) -> None:
    del options
    now = datetime.now(UTC)
    run = begin_run(settings, RunInfo(run_id=time_run_id(now), as_of=now, started_at=now, publish=False))
    _execute(settings, EVALUATION, run, resume=False, expected=False)
    _say(metrics_table(settings.model_name, load_metrics(run)))


def _begin(settings: Settings, options: argparse.Namespace, kind: RunKind) -> str:
    now = datetime.now(UTC)
    as_of = options.as_of or now
    if as_of > now:
        raise InputError(f"--as-of {as_of:%Y-%m-%dT%H:%M:%SZ} lies in the future")
    run_id = time_run_id(now) if options.run_id is None else check_run_id(options.run_id)
    if kind == "refresh":
        run_id = refresh_run_id(run_id)
    elif run_id.startswith(REFRESH_PREFIX):
        raise InputError(f"run id {run_id}: only the ids of refreshes begin with {REFRESH_PREFIX}; choose another")
    info = RunInfo(
        run_id=run_id,
        as_of=as_of,
        started_at=now,
        publish=_publishes(options, as_of, now),
        kind=kind,
        full_extraction=options.full_extraction,
    )
    run = begin_run(settings, info)
    _log.info("run %s as of %s; after a failure, --run-id %s --resume continues it", run_id, as_of.isoformat(), run_id)
    return run


def _continue(settings: Settings, options: argparse.Namespace, kind: RunKind) -> str:
    if options.run_id is None:
        raise InputError("--resume needs --run-id: which run is to be continued?")
    run_id = check_run_id(options.run_id)
    _, info = find_run(settings, refresh_run_id(run_id) if kind == "refresh" else run_id)
    if info.kind != kind:
        command = "refresh" if info.kind == "refresh" else "run"
        raise InputError(f"run {info.run_id} is a {info.kind}: continue it by `python -m pipeline {command} --resume`")
    if options.full_extraction and not info.full_extraction:
        raise InputError(f"run {info.run_id} has begun without --full-extraction: leave it out, or begin a new run")
    if options.as_of is not None and options.as_of != info.as_of:
        raise InputError(f"run {info.run_id} is as of {info.as_of.isoformat()}: leave out --as-of, or begin a new run")
    now = datetime.now(UTC)
    return continue_run(settings, info.run_id, now=now, publish=_publishes(options, info.as_of, now))


def _publishes(options: argparse.Namespace, as_of: datetime, now: datetime) -> bool:
    if options.publish is not None:
        return bool(options.publish)
    is_past = now - as_of > _PAST
    if is_past:
        _log.warning("as of %s, more than a day ago: nothing is deployed, unless --publish is given", as_of.isoformat())
    return not is_past


def _step(settings: Settings, options: argparse.Namespace) -> None:
    run = continue_run(settings, check_run_id(options.run_id), now=datetime.now(UTC))
    with monitoring.bound_context(run_id=options.run_id), monitoring.transaction("pipeline", "run"):
        _say(f"{options.step} done in {run_step(settings, run, step_of(options.step)):.1f} s")


def _explain(settings: Settings, options: argparse.Namespace) -> None:
    # Imported here, because it needs the training's libraries.
    from pipeline.explain import describe, explain_run

    found = explain_run(settings, *_run_of(settings, options.run_id))
    for line in [json.dumps(found.document(), indent=2)] if options.json else describe(found):
        _say(line)


def _offpolicy(settings: Settings, options: argparse.Namespace) -> None:
    # Imported here, because it needs the training's libraries.
    from pipeline.feedback.text import describe_feedback
    from pipeline.steps.trained import load_training

    run, info = _run_of(settings, options.run_id)
    training = load_training(run)
    if training is None or training.feedback is None:
        raise InputError(f"run {info.run_id} has no training of this release: repeat its step train")
    lines = describe_feedback(training.feedback)
    for line in [json.dumps(training.feedback, indent=2)] if options.json else lines:
        _say(line)


def _search(settings: Settings, options: argparse.Namespace) -> None:
    # Imported here, because it needs the training's libraries and Optuna.
    from pipeline.config import load_config
    from pipeline.search import Bounds, check_output, describe, fragment_of, load_source, search, write_fragment

    config = load_config(settings)
    if options.output is not None:
        check_output(options.output, force=options.force)
    run = _run_of(settings, options.run_id)[0]
    # What each training says of itself would hide the trials.
    logging.getLogger("pipeline.train").setLevel(logging.WARNING)
    with threadpool_limits(settings.training_threads, user_api="blas"):
        found = search(
            load_source(run, config, settings.seed),
            config,
            Bounds(options.trials, options.minutes),
            seed=settings.seed,
            threads=settings.training_threads,
        )
    for line in [json.dumps(found.document(), indent=2)] if options.json else describe(found):
        _say(line)
    if options.output is None:
        return
    if (text := fragment_of(config, found)) is None:
        _log.info("%s: not written", options.output)
    else:
        write_fragment(options.output, text, force=options.force)
        _log.info("%s: set PIPELINE_CONFIG to its path; the next training uses it", options.output)


def _run_of(settings: Settings, run_id: str | None) -> tuple[str, RunInfo]:
    return find_latest_training(settings) if run_id is None else find_run(settings, check_run_id(run_id))


def _quarantine(settings: Settings, options: argparse.Namespace) -> None:
    run, _ = find_run(settings, check_run_id(options.run_id))
    entries = [each for each in load_quarantine(run) if options.check in {None, each.check}]
    if options.json:
        for entry in entries:
            _say(json.dumps(entry._asdict()))
        return
    for _, found in groupby(entries, key=lambda each: each.check):
        first, *others = found
        _say(f"{first.check}: {len(others) + 1:,} {first.reason}" + (f"; {first.advice}" if first.advice else ""))
        for entry in (first, *others[: _EXAMPLES - 1]):
            _say(f"  {json.dumps(entry.row, ensure_ascii=False)}")
        if len(others) >= _EXAMPLES:
            _say(f"  and {len(others) + 1 - _EXAMPLES:,} more (--check {first.check} --json prints all)")
    _say("correct them in the database or in EXTRACTION_SQL; the next run reads them again" if entries else "no rows")


def _compare(settings: Settings, options: argparse.Namespace) -> None:
    # Imported here, because it needs the ranking engine.
    from pipeline.compare import compare_sources, describe, load_source

    found = compare_sources(load_source(settings, options.a), load_source(settings, options.b), options.tolerance)
    _say(json.dumps(found.document(), indent=2) if options.json else describe(found))
    if options.fail_if_worse and found.result.verdict is ModelVerdict.WORSE:
        raise PipelineError(f"{options.b} is worse than {options.a}")


def _skew(settings: Settings, options: argparse.Namespace) -> None:
    # Imported here, because it needs the feature code.
    from pipeline.skew import compare_served, signal, write_result

    until = datetime.now(UTC)
    result = compare_served(settings, since=options.since or until - _PAST, until=until)
    if result is None:
        raise InputError("no served features are logged: set DATABASE_URL to the database of feature-sync")
    if options.run_id is not None:
        run, _ = find_run(settings, check_run_id(options.run_id))
        write_result(run, result)
    signal(result)
    _say(result.model_dump_json(indent=2) if options.json else result.details)


def _renumber(settings: Settings, options: argparse.Namespace) -> None:
    # Imported here, because it needs a Redis client.
    from pipeline.renumber import renumber

    renumber(settings, _say, apply=options.apply, with_redis=options.with_redis)


def _execute(settings: Settings, chosen: Sequence[Step], run: str, *, resume: bool, expected: bool) -> None:
    """Run the steps; `expected` says whether the notification gateway expects such a run."""
    # Reports name the run, as in Airflow.
    with monitoring.bound_context(run_id=load_run_info(run).run_id), monitoring.transaction("pipeline", "run"):
        try:
            with reported(settings, run):
                run_steps(settings, run, chosen, _say, resume=resume)
        except NothingToDoError:
            _note_good_run(expected=expected)
            raise
        _note_good_run(expected=expected)


def _note_good_run(*, expected: bool) -> None:
    if expected:
        monitoring.recovered("pipeline.no_recent_run")


def _count(text: str) -> int:
    # Stricter than int(), which accepts 1_000 and digits of any script.
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_COUNT_DIGITS:
        raise argparse.ArgumentTypeError(f"a whole number of at most {_MAX_COUNT_DIGITS} digits")
    return int(text)


def _positive_count(text: str) -> int:
    if (value := _count(text)) == 0:
        raise argparse.ArgumentTypeError("a whole number of at least 1")
    return value


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("a share from 0 to less than 1, as 0.01")
    return value


def _moment(text: str) -> datetime:
    try:
        return parse_moment(text)
    except UnusableMomentError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="From business data to a deployed model. Settings come from the environment.",
        epilog=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    demo = commands.add_parser("demo", help="fill the business database with a made-up marketplace")
    demo.add_argument("--datasets", type=_count, default=_DEMO.datasets, help="default: %(default)s")
    demo.add_argument("--users", type=_count, default=_DEMO.users, help="default: %(default)s")
    demo.add_argument("--interactions", type=_count, default=_DEMO.interactions, help="default: %(default)s")
    demo.add_argument("--seed", type=_count, default=42, help="default: %(default)s")
    demo.add_argument("--if-empty", action="store_true", help="do nothing if there is content already")
    demo.set_defaults(command=_demo)
    load = commands.add_parser("import", help="replace the content of the business database by a source's")
    load.add_argument("--source", required=True, choices=[*SOURCES, "demo"])
    load.add_argument("--dir", type=Path, help="folder with the source's files")
    load.set_defaults(command=_import)
    check = commands.add_parser("check", help="read a source as import does, and report all faults; nothing is loaded")
    check.add_argument("dir", type=Path, metavar="DIR", help="folder with the source's files")
    check.add_argument("--source", choices=list(SOURCES), help="default: found by the names of the files")
    check.set_defaults(command=_check)
    run = commands.add_parser("run", help="extract, train, evaluate, bundle, publish, deploy, sync")
    _add_run_options(run)
    run.set_defaults(command=_run)
    refresh = commands.add_parser(
        "refresh", help="renew the data around the ranker in service: its statistics, lists, datasets and users"
    )
    _add_run_options(refresh)
    refresh.set_defaults(command=_refresh)
    step = commands.add_parser("step", help="run one step of a run again")
    step.add_argument("step", metavar="NAME", choices=list(STEPS), help="%(choices)s")
    step.add_argument("--run-id", metavar="ID", required=True)
    step.set_defaults(command=_step)
    explained = commands.add_parser(
        "explain",
        help="show which steps of a run are done, what --resume would repeat, and what the settings mean for its data",
    )
    explained.add_argument("--run-id", metavar="ID", help="default: the training that began last")
    explained.add_argument("--json", action="store_true", help="one JSON document")
    explained.set_defaults(command=_explain)
    offpolicy = commands.add_parser(
        "offpolicy",
        help="show what the order of a run would have brought, by the outcomes of answers in random order",
    )
    offpolicy.add_argument("--run-id", metavar="ID", help="default: the training that began last")
    offpolicy.add_argument("--json", action="store_true", help="one JSON document")
    offpolicy.set_defaults(command=_offpolicy)
    _add_search(commands.add_parser("search", help="try other settings of training, and confirm the best"))
    quarantine = commands.add_parser("quarantine", help="show the rows and values that a run left out, and why")
    quarantine.add_argument("--run-id", metavar="ID", required=True)
    quarantine.add_argument("--check", metavar="NAME", help="only those of one check")
    quarantine.add_argument("--json", action="store_true", help="print all, one JSON object a line")
    quarantine.set_defaults(command=_quarantine)
    evaluate = commands.add_parser(
        "evaluate", help="compare the stack with the baselines, without training a model to deploy"
    )
    evaluate.set_defaults(command=_evaluate)
    compare = commands.add_parser(
        "compare",
        help="tell whether model B is better or worse than model A, on queries that neither has seen",
        description="Score two models on the same queries of the past. Exit code 0 whatever the verdict is.",
    )
    for name in ("a", "b"):
        compare.add_argument(
            name, metavar=name.upper(), help="id of a run, its folder, an evaluation part (.zip) or a bundle (.tar.gz)"
        )
    compare.add_argument(
        "--tolerance",
        type=_share,
        default=TOLERANCE,
        metavar="SHARE",
        help="B is worse if the whole interval is below A by more than this share of A; default: %(default)s",
    )
    compare.add_argument("--json", action="store_true", help="print one JSON document")
    compare.add_argument("--fail-if-worse", action="store_true", help="end with exit code 1 if the verdict is worse")
    compare.set_defaults(command=_compare)
    skew = commands.add_parser(
        "skew", help="compute again what sampled answers were ranked with, compare, and report differences"
    )
    skew.add_argument("--since", type=_moment, metavar="TIME", help="answers from this moment on; default: 24 hours")
    skew.add_argument("--run-id", metavar="ID", help="write the result into this run, for its report")
    skew.add_argument("--json", action="store_true", help="one JSON document")
    skew.set_defaults(command=_skew)
    moved = commands.add_parser(
        "renumber", help="move the rows, events and features of an earlier release to the current ids"
    )
    moved.add_argument("--apply", action="store_true", help="apply the changes; without it they are only shown")
    moved.add_argument("--without-redis", dest="with_redis", action="store_false", help="there is no Redis to move")
    moved.set_defaults(command=_renumber)
    return parser


def _add_search(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Try other values of the keys in the section `search` of PIPELINE_CONFIG, on the data of a run. The best "
        "trial is compared with the current values on users that no trial saw."
    )
    parser.add_argument("--run-id", metavar="ID", help="whose data; default: the training that began last")
    parser.add_argument("--trials", type=_positive_count, default=20, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--minutes", type=_positive_count, default=60, metavar="M", help="begin no trial later; default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write a file for PIPELINE_CONFIG, if something better is found"
    )
    parser.add_argument("--force", action="store_true", help="replace the file of --output")
    parser.set_defaults(command=_search)


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--publish",
        action=argparse.BooleanOptionalAction,
        help="deploy the model, or stop after the bundle; default: deploy, unless --as-of is more than a day ago",
    )
    parser.add_argument(
        "--run-id",
        metavar="ID",
        help="name of the run; default: by the time, as 20261124T030000000000Z. That of a refresh begins with refresh-",
    )
    parser.add_argument(
        "--as-of",
        type=_moment,
        metavar="TIME",
        help="leave out rows that came later (ISO 8601 with a zone); default: now",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue the run --run-id: without the steps whose results are up to date",
    )
    parser.add_argument(
        "--full-extraction",
        action="store_true",
        help="read all days from the databases, also those that earlier runs have read",
    )
