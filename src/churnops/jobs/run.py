"""`churnops run`: from the files of a config to a judged bundle and a report."""

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from churnops.bundle.bundle import write_bundle
from churnops.config import Settings, load_toml
from churnops.data_config import DataConfig
from churnops.jobs.promote import promote
from churnops.jobs.report import PREDICTIONS, REPORT, RESULT, write_report
from churnops.jobs.steps.audit import Prepared, audit_step
from churnops.jobs.steps.candidate import Here, Trainer, candidate_step, task_of
from churnops.jobs.steps.cleaning import clean_step
from churnops.jobs.steps.dataset import dataset_step
from churnops.jobs.steps.equivalence import equivalence_step
from churnops.jobs.steps.evaluation import PREDICTIONS as TESTED
from churnops.jobs.steps.evaluation import evaluation_step, read_figures
from churnops.jobs.steps.explanation import explanation_step
from churnops.jobs.steps.ledger import Done, Ledger
from churnops.jobs.steps.packaging import known_before, make_bundle
from churnops.jobs.steps.registration import register
from churnops.jobs.steps.shipment import shipment_step
from churnops.jobs.steps.summary import registered, summarise
from churnops.jobs.steps.workshop import Published, Workshop, working
from churnops.progress import Tell
from churnops.registry.promotion import Gates
from churnops.registry.tracking import attach
from churnops.report.result import Result
from churnops.training.candidates import NETWORKS, candidates_of, chosen_frameworks, is_installed, one_column
from churnops.training.recipe import Recipe
from churnops.writing import write_whole

BUNDLE, BUNDLES = "bundle", "bundles"


@dataclass(frozen=True)
class Plan:
    """What a run does, and who asked for it when."""

    frameworks: tuple[str, ...]
    config: DataConfig
    recipe: Recipe
    gates: Gates
    at: dt.datetime
    actor: str
    trainer: Trainer = field(default_factory=Here)
    """Where networks learn."""

    @property
    def candidates(self) -> tuple[str, ...]:
        """Who competes, by name."""
        return candidates_of(self.config.shape, self.frameworks)


@dataclass(frozen=True)
class Files:
    """Where a plan is written down."""

    config: Path
    recipe: Path
    gates: Path


def read_plan(
    files: Files, frameworks: Collection[str], *, at: dt.datetime, actor: str, elsewhere: bool = False
) -> Plan:
    """The plan the files make; raises ConfigError for what is wrong with the first that is.

    Networks that learn `elsewhere` need no framework here.
    """
    return Plan(
        chosen_frameworks(frameworks, elsewhere=NETWORKS if elsewhere else ()),
        load_toml(DataConfig, files.config),
        load_toml(
            Recipe,
            files.recipe,
            hint="--recipe names another; churnops's own are in configs/train/ of its repository",
        ),
        load_toml(
            Gates,
            files.gates,
            hint="--gates names another; churnops's own is configs/promotion.toml of its repository",
        ),
        at,
        actor,
    )


def run(plan: Plan, settings: Settings, tell: Tell) -> Result:
    """Do the whole job, or what is left of it: finished steps are kept while their inputs stay the same.

    Raises InputError for data that cannot be used, NotEnoughData, ParityError when a graph disagrees with its
    model, RegistryError, and Busy while another process runs the same config.
    """
    with working(settings, plan.config.name, tell) as shop:
        steps = _compare(plan, shop)
        return _publish(plan, settings, steps, shop.ledger)


def prepare(config: DataConfig, shop: Workshop) -> tuple[Published, Prepared]:
    """The clean tables, and what models learn from."""
    cleaned = clean_step(config, shop)
    dataset = dataset_step(config, cleaned, shop)
    return cleaned, Prepared(dataset, audit_step(config, cleaned, dataset, shop.ledger))


def ship(config: DataConfig, cleaned: Done, prepared: Prepared, ledger: Ledger) -> Path:
    """The folder of the dataset as it travels."""
    return shipment_step(known_before(config, cleaned, prepared), prepared, ledger).folder


def _compare(plan: Plan, shop: Workshop) -> dict[str, Done]:
    """Every step up to the choice of a candidate, by name."""
    config, recipe, trainer, ledger = plan.config, plan.recipe, plan.trainer, shop.ledger
    cleaned, prepared = prepare(config, shop)
    tasks = [task_of(name, recipe, prepared, ledger, trainer) for name in plan.candidates]
    left = [task for task in tasks if task.is_network and not ledger.is_done(task.step, task.depends_on)]
    trainer.begin(left, lambda: ship(config, cleaned, prepared, ledger), ledger.tell)
    candidates = {task.assignment.name: candidate_step(task, ledger, trainer) for task in tasks}
    evaluated = evaluation_step(
        candidates, prepared, recipe, reference=one_column(config.shape), ledger=ledger
    )
    steps = {
        "clean": cleaned,
        "dataset": prepared.dataset,
        "audit": prepared.audited,
        "evaluation": evaluated,
        **candidates,
    }
    if candidates.keys() >= {*NETWORKS} and all(map(is_installed, NETWORKS)):
        steps["equivalence"] = equivalence_step(recipe, prepared, ledger)
    return steps


def _publish(plan: Plan, settings: Settings, steps: dict[str, Done], ledger: Ledger) -> Result:
    """The bundle, its place in the registry, and what people read of it."""
    chosen = read_figures(steps["evaluation"])["chosen"]
    bundles = {
        name: make_bundle(plan.config, plan.recipe, steps, candidate=name)
        for name in dict.fromkeys((*plan.frameworks, chosen))
    }
    for name in plan.frameworks:
        write_bundle(bundles[name], ledger.folder / BUNDLES / name)
    bundle = bundles[chosen]
    folder = write_bundle(bundle, ledger.folder / BUNDLE)
    explained = explanation_step(bundle, steps["dataset"], steps["audit"], steps["evaluation"], ledger)
    ledger.tell("registry", "started")
    recorded, opponent = register(folder, plan.recipe, steps, settings, at=plan.at)
    decision = promote(recorded.version, plan.gates, settings, at=plan.at, actor=plan.actor)
    ledger.tell("registry", "done")
    registry = registered(recorded, decision, opponent.model_version if opponent else None)
    paths = {
        "bundle": str(folder),
        "report": str(ledger.folder / REPORT),
        "result": str(ledger.folder / RESULT),
        "predictions": str(ledger.folder / PREDICTIONS),
    }
    result = summarise(plan.config, bundle, {**steps, "explanation": explained}, registry, paths)
    write_whole(ledger.folder / PREDICTIONS, (steps["evaluation"].folder / TESTED).read_bytes())
    write_whole(ledger.folder / RESULT, result.model_dump_json(indent=2).encode())
    report = write_report(ledger.folder)
    attach(settings.mlflow_uri, recorded.parent_run_id, [ledger.folder / RESULT, report])
    return result
