"""The command line: one command per job, no logic. Jobs are imported inside commands, for quick help."""

import datetime as dt
import getpass
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from churnops.errors import ChurnopsError

if TYPE_CHECKING:
    from churnops.config import Settings
    from churnops.data_config import DataConfig
    from churnops.engines.on_duckdb import DuckDB
    from churnops.sources.proposal.inquiry import Question

app = typer.Typer(
    name="churnops",
    help="Who is leaving? From raw purchases to a served, explained, audited score.",
    epilog="To try it: churnops data, then churnops init var/demo/customers.csv var/demo/transactions.csv",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # any markup would swallow <name> or [default]
)

lake_app = typer.Typer(
    help="List, show, check and clear away what was published.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(lake_app, name="lake")
canary_app = typer.Typer(
    help="Let another version answer a share of the customers.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(canary_app, name="canary")
shadow_app = typer.Typer(
    help="Let another version score some requests, unseen.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(shadow_app, name="shadow")

ConfigFile = Annotated[Path, typer.Argument(help="A file of configs/data/, as `churnops init` writes it.")]
AsOf = Annotated[
    dt.datetime | None,
    typer.Option(
        formats=["%Y-%m-%d"], help="The day the answer is for (UTC); purchases from it on are unseen."
    ),
]
BundleFolder = Annotated[
    str | None, typer.Option(help="A bundle folder, here or on S3. [default: the registry's champion]")
]
EngineName = Annotated[
    Literal["auto", "duckdb", "spark"] | None,
    typer.Option("--engine", help="What builds the tables. [default: auto, by their size]"),
]
Master = Annotated[
    str | None,
    typer.Option("--master", help="Of Spark: spark://host:7077; under spark-submit ''. [default: local[*]]"),
]
RegisteredName = Annotated[str, typer.Argument(help="The data config's name, as the registry has it.")]
Tried = Annotated[int | None, typer.Option(min=1, help="[default: the challenger]")]
Share = Annotated[float, typer.Option(min=0.0001, max=1.0, help="Of the customers, or requests.")]
VariantName = Annotated[
    str, typer.Option(help="Of the SageMaker endpoint NAME, in place of a version of our own servers.")
]
RECIPE = Path("configs/train/mlp.toml")
GATES = Path("configs/promotion.toml")
SAGEMAKER = Path("configs/sagemaker.toml")
_SYSTEM_FAULT = 5


@app.command()
def data(
    out: Annotated[
        Path, typer.Option(help="The folder to write; an earlier export there is replaced.")
    ] = Path("var/demo"),
    customers: Annotated[int, typer.Option(min=100, max=10_000_000)] = 20_000,
    days: Annotated[int, typer.Option(min=90, max=3650, help="How long the shop has been open.")] = 540,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Make up customers and purchases whose truth is known."""
    from churnops.jobs.data import make_data
    from churnops.sources.synthetic import Population

    made = make_data(Population(customers=customers, days=days, seed=seed), out)
    _say(f"{made.n_customers:,} customers in {made.customers}")
    _say(f"{made.n_lines:,} lines of purchases in {made.transactions}")
    _say(f"The truth, for checking only, in {made.truth}")


@app.command()
def init(
    customers: Annotated[str, typer.Argument(help="CSV (also .gz) or Parquet: a file or a folder of them.")],
    transactions: Annotated[
        str | None, typer.Argument(help="The purchases, when they are in another table.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="[default: configs/data/<name>.toml]")] = None,
    name: Annotated[
        str, typer.Option(help="Its name: a-z, 0-9, _ and -. [default: made from the path]")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Take the likeliest answer to every question.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a config that is there.")] = False,
) -> None:
    """Look at your files and write the config that reads them. Every choice comes with its reason."""
    from churnops.jobs.init import Request, init

    settings = _settings()
    request = Request(customers, transactions, name, settings.source_dir, settings.data_dir / "sources")
    ask = None if yes or not sys.stdin.isatty() else _ask
    made = init(request, _engine(settings), out=out, ask=ask, force=force)
    for warning in made.warnings:
        _say(f"WARNING: {warning}")
    _say(f"{made.path}: shape '{made.shape}'. Read it, correct it, then: churnops run {made.path}")


@app.command()
def horizon(
    config: ConfigFile,
    tolerance: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The share of those called lost who may come back.")
    ] = 0.2,
) -> None:
    """Weigh noticing a loss late against calling lost who comes back."""
    from churnops.jobs.horizon import horizon_of
    from churnops.progress import shown

    with shown() as tell:
        found = horizon_of(_config(config), _settings(), tolerance=tolerance, tell=tell)
    _say(f"{'days':>6}  {'come back':>9}  {'last so long':>12}")
    for one in found.overview:
        mark = "  <- proposed" if one.horizon_days == found.proposal.horizon_days else ""
        _say(f"{one.horizon_days:>6}  {one.returns_ratio:>9.1%}  {one.lapsed_ratio:>12.1%}{mark}")
    _say(found.proposal.reason)
    if found.proposal.warning:
        _say(f"WARNING: {found.proposal.warning}")


@app.command()
def features(
    config: ConfigFile,
    as_of: AsOf = None,
    out: Annotated[
        str | None, typer.Option(help="A Parquet file for you, here or on S3. [default: the lake's only]")
    ] = None,
    engine: EngineName = None,
    master: Master = None,
) -> None:
    """Write what models may see of each customer on one day."""
    from churnops.jobs.features import make_features
    from churnops.progress import shown
    from churnops.storage import check_deliverable

    if out:
        check_deliverable(out)
    with shown() as tell:
        made = make_features(_config(config), _settings(engine, master), as_of=_day(as_of), tell=tell)
        if out:
            made.copy(out)
    for line in made.repairs:
        _say(line)
    dated = f" as of {made.as_of:%Y-%m-%d}" if made.as_of else ""
    _say(f"{made.rows:,} rows in {out or made.address}{dated}")


@app.command()
def run(
    config: ConfigFile,
    recipe: Annotated[Path, typer.Option(help="How the models are trained.")] = RECIPE,
    gates: Annotated[Path, typer.Option(help="What a new champion must show.")] = GATES,
    frameworks: Annotated[
        str, typer.Option(help="Which models compete with the plain baselines: torch, tensorflow, lightgbm.")
    ] = "torch,lightgbm",
    engine: EngineName = None,
    master: Master = None,
) -> None:
    """Do the whole job, from files to a judged bundle and a report. Again, it does what is left."""
    from churnops.jobs.run import Files, read_plan, run
    from churnops.progress import resumable, shown
    from churnops.report.overview import overview

    settings = _settings(engine, master)
    files, now = Files(config, recipe, gates), dt.datetime.now(dt.UTC)
    plan = read_plan(files, _names(frameworks), at=now, actor=settings.actor)
    with resumable(), shown() as tell:
        result = run(plan, settings, tell)
    for line in overview(result):
        _say(line)


@app.command()
def train(
    config: ConfigFile,
    on: Annotated[Literal["local", "sagemaker"], typer.Option(help="Where networks learn.")] = "local",
    frameworks: Annotated[
        str, typer.Option("--frameworks", "--framework", help="As in run: torch, tensorflow, lightgbm.")
    ] = "torch",
    instances: Annotated[
        int, typer.Option(min=1, max=16, help="Hosts that train one network together; locally, processes.")
    ] = 1,
    instance_type: Annotated[
        str, typer.Option(help="SageMaker's machines.", metavar="ml.FAMILY.SIZE")
    ] = "ml.m5.xlarge",
    spot: Annotated[bool, typer.Option("--spot", help="Spare capacity, at a third of the price.")] = False,
    sagemaker: Annotated[Path, typer.Option(help="Roles, images and places in AWS.")] = SAGEMAKER,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what SageMaker would be asked for, and ask nothing.")
    ] = False,
    recipe: Annotated[Path, typer.Option(help="How the models are trained.")] = RECIPE,
    gates: Annotated[Path, typer.Option(help="What a new champion must show.")] = GATES,
) -> None:
    """Run, with networks trained by several processes or on SageMaker."""
    import json

    from churnops.jobs.run import Files, read_plan
    from churnops.jobs.train import Where, requests, train
    from churnops.progress import resumable, shown
    from churnops.report.overview import overview

    settings = _settings()
    files, now = Files(config, recipe, gates), dt.datetime.now(dt.UTC)
    elsewhere = on == "sagemaker"
    plan = read_plan(files, _names(frameworks), at=now, actor=settings.actor, elsewhere=elsewhere)
    where = Where(on, instances, instance_type, spot, sagemaker)
    if dry_run and not elsewhere:
        raise typer.BadParameter("--dry-run shows what SageMaker is asked for: it needs --on sagemaker")
    with resumable(), shown() as tell:
        if dry_run:
            asked = requests(plan, where, settings, tell)
        else:
            result = train(plan, where, settings, tell)
    for line in [json.dumps(one, indent=2) for one in asked] if dry_run else overview(result):
        _say(line)


@app.command()
def tune(
    config: ConfigFile,
    recipe: Annotated[Path, typer.Option(help="What to start from, and to beat.")] = RECIPE,
    framework: Annotated[str, typer.Option(help="torch, tensorflow or lightgbm.")] = "torch",
    minutes: Annotated[float, typer.Option(help="How long to try recipes; Ctrl-C ends it sooner.")] = 10.0,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Stop at so many, those of earlier calls among them.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="[default: configs/train/<name>-<framework>.toml]"),
    ] = None,
) -> None:
    """Look for a better recipe and write it. Again, it goes on from there."""
    from churnops.jobs.tune import Request, tune
    from churnops.progress import shown

    settings, at = _settings(), dt.datetime.now(dt.UTC)
    request = Request(_config(config), recipe, framework, minutes, trials, out)
    with shown() as tell:
        tuned = tune(request, settings, tell, at=at)
    for sentence in tuned.account:
        _say(sentence)
    _say(f"To use it: churnops run {config} --recipe {tuned.path}")


@app.command()
def report(config: ConfigFile) -> None:
    """Draw the page of the last run again."""
    from churnops.jobs.report import write_report
    from churnops.jobs.steps.ledger import run_folder

    _say(str(write_report(run_folder(_settings(), _config(config).name))))


@app.command()
def score(
    config: ConfigFile,
    as_of: AsOf = None,
    out: Annotated[
        str | None,
        typer.Option(
            help="A .parquet or .csv for you, with ranks, here or on S3. "
            "[default: var/scores/<name>/as_of=<date>.parquet]"
        ),
    ] = None,
    bundle: BundleFolder = None,
    customers: Annotated[
        str | None, typer.Option(help="Score this customer table in place of the config's.")
    ] = None,
    published: Annotated[
        bool,
        typer.Option("--published", help="Only score features that the lake has, made from its newest."),
    ] = False,
    reasons: Annotated[
        int, typer.Option(min=0, max=100, help="How many reasons to write beside each score.", metavar="K")
    ] = 0,
    processes: Annotated[
        int | None, typer.Option(min=1, help="[default: one for each core, where rows are worth its start]")
    ] = None,
    engine: EngineName = None,
    master: Master = None,
) -> None:
    """Score everybody asked about on one day, the likeliest first. Killed, it goes on where it was.

    The lake gets the scores too: the table <name>/scores/as_of=<date>, in the order of the features.
    """
    from churnops.jobs.score import Request, score
    from churnops.progress import resumable, shown

    request = Request(
        _config(config),
        dt.datetime.now(dt.UTC),
        as_of=_day(as_of),
        bundle=bundle,
        customers=customers,
        published=published,
        to=out,
        reasons=reasons,
        processes=processes,
    )
    with resumable("the last part that is scored"), shown() as tell:
        scored = score(request, _settings(engine, master), tell)
    for line in scored.repairs:
        _say(line)
    _say(f"{scored.rows:,} scores by {scored.model_version} in {scored.path}")


@app.command()
def serve(
    name: Annotated[str, typer.Argument(help="Serve the champion of this data config ...")] = "",
    bundle: Annotated[
        str | None, typer.Option(help="... or this bundle folder, here or on S3, as it is.")
    ] = None,
    host: Annotated[str, typer.Option(help="Any other than this machine's own needs a login.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free port.")] = 8000,
    follow: Annotated[
        str, typer.Option(help="Change model whenever this alias of NAME moves.", metavar="champion")
    ] = "",
    workers: Annotated[
        int, typer.Option(min=1, max=256, help="Processes that share the port; one for each core.")
    ] = 1,
    config: Annotated[
        Path | None, typer.Option(help="Who may ask and how much, as configs/serving.toml.")
    ] = None,
    no_login: Annotated[
        bool, typer.Option("--no-login", help="Answer anyone: a mesh or gateway in front checks callers.")
    ] = False,
) -> None:
    """Answer POST /v1/score until told to stop."""
    if bool(name) == bool(bundle):
        one = "name a data config whose champion to serve, or a folder with --bundle"
        raise typer.BadParameter(f"{one}, not both" if name else one)
    if follow and bundle:
        raise typer.BadParameter("a bundle folder is served as it is: --follow needs the name of a model")
    from churnops.data_config import NAME

    if name and not re.fullmatch(NAME, name):
        raise typer.BadParameter(f"'{name}' is no data config's name; a folder is served with --bundle")
    settings = _settings()
    from churnops.config import load_toml
    from churnops.jobs.bundles import bundle_folder
    from churnops.jobs.serve import Followed, Shield, serve
    from churnops.serving.cache import place_of
    from churnops.serving.protection import Protection

    protection = load_toml(Protection, config) if config else Protection()
    shield = Shield(protection, config, no_login, settings.log_json)
    source: Path | Followed
    if follow:
        source = Followed(name, follow, settings.mlflow_uri, place_of(settings.data_dir, name))
    else:
        source = bundle_folder(settings, name, bundle)
    serve(source, host, port, workers=workers, shield=shield)


@app.command()
def key(
    name: Annotated[str, typer.Argument(help="Who will use it: a word for the log, such as 'web'.")],
) -> None:
    """Make an API key for one caller of `serve`."""
    from churnops.serving.access import new_key
    from churnops.serving.protection import caller_name

    try:
        caller_name(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    secret, digest = new_key()
    _say(f"{secret}  <- for {name}; it is not kept anywhere")
    _say(f'Under [keys] of the file that serve --config reads: {json.dumps(name)} = "{digest}"')


@app.command()
def sign(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder on this machine.")],
    key_file: Annotated[Path, typer.Option("--key", help="Your private Ed25519 key, in PEM.")],
) -> None:
    """Sign a bundle, for servers that load no other."""
    from churnops.bundle.bundle import MANIFEST_FILE, read_bundle
    from churnops.bundle.signature import sign

    read_bundle(bundle)
    _say(f"{sign(bundle / MANIFEST_FILE, key_file)}")


@app.command()
def promote(
    name: Annotated[str, typer.Argument(help="The data config's name, as the registry has it.")],
    version: Annotated[int, typer.Argument(min=1, help="The version to judge again.")],
    gates: Annotated[Path, typer.Option(help="What a new champion must show.")] = GATES,
) -> None:
    """Judge a registered version again; the gates decide."""
    from churnops.config import load_toml
    from churnops.jobs.promote import promote
    from churnops.registry.aliases import find_version
    from churnops.registry.promotion import Gates

    settings = _settings()
    found = find_version(settings.mlflow_uri, name, version)
    at, actor = dt.datetime.now(dt.UTC), settings.actor
    decision = promote(found, load_toml(Gates, gates), settings, at=at, actor=actor)
    _say(f"version {version} of {name}: {'champion' if decision.promoted else 'refused'}")
    for reason in decision.reasons:
        _say(f"  - {reason}")
    if not decision.promoted:
        raise typer.Exit(1)


@app.command()
def rollback(name: RegisteredName) -> None:
    """Make the champion before serve again; servers follow in seconds."""
    settings = _settings()
    from churnops.jobs.rollback import roll_back

    left, now = roll_back(name, settings, at=dt.datetime.now(dt.UTC), actor=settings.actor)
    _say(f"version {now.number} of {name} is champion again: {now.model_version}, not {left.model_version}")


@canary_app.command("start")
def canary_start(
    name: RegisteredName, version: Tried = None, share: Share = 0.05, variant: VariantName = ""
) -> None:
    """Begin, with a share of the customers, the same as long as it lasts."""
    if variant and version is not None:
        raise typer.BadParameter("--variant is of an endpoint, --version of our own servers: not both")
    if variant:
        _share_endpoint(name, variant, share)
    else:
        _start_trial(name, version, share, shadow=False)


@canary_app.command("stop")
def canary_stop(name: RegisteredName, variant: VariantName = "") -> None:
    """End it: the champion answers everybody."""
    if variant:
        _share_endpoint(name, variant, 0.0)
    else:
        _stop_trial(name, shadow=False)


@canary_app.command("status")
def canary_status(
    name: RegisteredName,
    on: Annotated[Literal["local", "sagemaker"], typer.Option(help="Where NAME is.")] = "local",
) -> None:
    """Say what is tried, and why it was stopped."""
    if on == "sagemaker":
        _share_endpoint(name)
        return
    settings = _settings()
    from churnops.jobs.trials import status

    plan, stopped = status(name, settings)
    _say(f"version {plan.version} of {name} as {plan.kind}, share {plan.share:g}")
    _say(f"stopped: {stopped}" if stopped else "goes on")


@shadow_app.command("start")
def shadow_start(name: RegisteredName, version: Tried = None, share: Share = 0.05) -> None:
    """Begin, with a share of the requests."""
    _start_trial(name, version, share, shadow=True)


@shadow_app.command("stop")
def shadow_stop(name: RegisteredName) -> None:
    """End it."""
    _stop_trial(name, shadow=True)


@shadow_app.command("report")
def shadow_report(name: RegisteredName) -> None:
    """Say how far the scores of the two versions are apart, by what the servers here wrote down."""
    settings = _settings()
    from churnops.jobs.trials import report

    plan, found = report(name, settings)
    _say(f"version {plan.version} beside the champion of {name}: {found.compared:,} customers compared")
    _say(f"difference of scores: mean {found.mean:+.6f}, absolute {found.mean_absolute:.6f}")
    _say(f"largest {found.largest:.6f}; {found.flips:,} decided otherwise")
    _say(f"{found.failures:,} it could not score; {found.dropped:,} left out, under load or for a full disk")
    if found.unreadable:
        _say(f"{found.unreadable:,} lines were cut when they were written, and are left out")


@app.command()
def publish(
    name: Annotated[str, typer.Argument(help="The data config's name, as the registry has it.")],
    to: Annotated[Literal["sagemaker"], typer.Option(help="Whose model registry.")] = "sagemaker",
    version: Annotated[int | None, typer.Option(min=1, help="[default: the champion]")] = None,
    sagemaker: Annotated[Path, typer.Option(help="Roles, images and places in AWS.")] = SAGEMAKER,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what SageMaker would be asked for, and ask nothing.")
    ] = False,
) -> None:
    """Bring a bundle and its approval to another model registry."""
    import json

    from churnops.cloud.settings import read_sagemaker

    del to  # there is one so far
    settings, cloud = _settings(), read_sagemaker(sagemaker)
    from churnops.cloud.aws import connect
    from churnops.jobs.publish import publish, request

    if dry_run:
        _say(json.dumps(request(name, version, cloud, settings), indent=2))
        return
    made = publish(name, version, cloud, settings, connect())
    _say(f"{made.model_version}: {made.arn}")
    for line in made.moved:
        _say(f"  - {line}")


@lake_app.command("ls")
def lake_ls(
    name: Annotated[str, typer.Argument(help="Of one data config, or below one dataset.")] = "",
) -> None:
    """List datasets with their newest version."""
    from churnops.jobs.lake import datasets, lake_of, listing

    for line in listing(datasets(lake_of(_settings()), name)):
        _say(line)


@lake_app.command("show")
def lake_show(
    dataset: Annotated[str, typer.Argument(help="As `lake ls` has it: shop/features/as_of=2024-06-01")],
    version: Annotated[int | None, typer.Option(min=1, help="[default: the newest]")] = None,
) -> None:
    """Tell all of a version: tables, files, hashes, who made it, from what, and what was made of it."""
    from churnops.jobs.lake import account, lake_of, show

    for line in account(show(lake_of(_settings()), dataset, version)):
        _say(line)


@lake_app.command("gc")
def lake_gc(
    keep: Annotated[int, typer.Option(min=1, help="How many versions of each dataset to keep.")] = 3,
    older_than: Annotated[
        float, typer.Option(min=0, help="Days; younger files stay, somebody may be writing or reading them.")
    ] = 7.0,
    delete: Annotated[bool, typer.Option("--delete", help="Do it; without, it is only said.")] = False,
) -> None:
    """Say what may be deleted: old versions that none kept was made from, and what was left unfinished."""
    from churnops.jobs.lake import collect, lake_of, plan

    now, age = dt.datetime.now(dt.UTC), dt.timedelta(days=older_than)
    garbage = collect(lake_of(_settings()), keep=keep, older_than=age, now=now, delete=delete)
    for line in plan(garbage, deleted=delete):
        _say(line)


@lake_app.command("check")
def lake_check(
    config: ConfigFile,
    as_of: Annotated[dt.datetime, typer.Option(formats=["%Y-%m-%d"], help="The day of the scores (UTC).")],
    lag: Annotated[
        int, typer.Option(min=0, help="So many hours may features be older than newer clean tables.")
    ] = 24,
) -> None:
    """Is a day scored, and from the newest there is? Exit code 2 where not."""
    from churnops.jobs.freshness import Allowed, check_scores
    from churnops.jobs.lake import lake_of

    allowed = Allowed(dt.datetime.now(dt.UTC), lag)
    scores = check_scores(lake_of(_settings()), _config(config).name, as_of.date(), allowed)
    _say(f"{scores.rows:,} scores as of {as_of:%Y-%m-%d}, version {scores.number}, made from the newest")


def main() -> None:
    """Run the command line; an expected error is told in words, and its exit code says of what kind it is."""
    try:
        app()
    except ChurnopsError as error:
        typer.secho(f"{type(error).__name__}: {error}", err=True, fg="red")
        sys.exit(error.exit_code)
    except OSError as error:  # a full disk, a folder that may not be written
        where = f"{error.filename}: " if error.filename else ""
        typer.secho(f"{where}{error.strerror or error}", err=True, fg="red")
        sys.exit(_SYSTEM_FAULT)


def _say(text: str) -> None:
    typer.echo(text)


def _start_trial(name: str, version: int | None, share: float, *, shadow: bool) -> None:
    settings = _settings()
    from churnops.jobs.trials import Order, start

    order = Order(name, version, share, shadow)
    plan = start(order, settings, at=dt.datetime.now(dt.UTC), actor=settings.actor)
    _say(f"version {plan.version} of {name}, share {plan.share:g}: servers that follow begin within seconds")


def _share_endpoint(endpoint: str, variant: str = "", share: float = 0.0) -> None:
    from churnops.cloud.aws import connect
    from churnops.cloud.endpoints import give, variants

    aws = connect()
    for one in give(endpoint, variant, share, aws) if variant else variants(endpoint, aws):
        _say(f"{one.name}: {one.share:.1%} of the requests")


def _stop_trial(name: str, *, shadow: bool) -> None:
    settings = _settings()
    from churnops.jobs.trials import stop

    plan = stop(name, settings, shadow=shadow, at=dt.datetime.now(dt.UTC), actor=settings.actor)
    _say(f"version {plan.version} of {name}: stopped ({plan.stopped})")


def _names(listed: str) -> list[str]:
    return [name.strip() for name in listed.split(",")]


def _settings(engine: EngineName = None, master: Master = None) -> "Settings":
    from churnops import log
    from churnops.config import read_settings

    settings = read_settings()
    asked = {
        "engine": engine,
        "spark_master": master,
        "actor": settings.actor or _user(),
        "started_at": settings.started_at or dt.datetime.now(dt.UTC),
    }
    settings = settings.model_copy(update={name: value for name, value in asked.items() if value is not None})
    log.configure(json=settings.log_json)
    return settings


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"user {os.getuid()}"


def _config(path: Path) -> "DataConfig":
    from churnops.config import load_toml
    from churnops.data_config import DataConfig

    return load_toml(DataConfig, path)


def _engine(settings: "Settings") -> "DuckDB":
    from churnops.engines.on_duckdb import DuckDB

    return DuckDB(settings.memory_limit, settings.data_dir / "spill")


def _ask(question: "Question") -> str:
    from rich.prompt import Prompt

    _say(f"{question.text} ({question.why})")
    return Prompt.ask("", choices=list(question.options), default=question.default)


def _day(moment: dt.datetime | None) -> dt.date | None:
    return moment.date() if moment else None
