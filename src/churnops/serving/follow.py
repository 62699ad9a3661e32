"""A server that follows the registry: another champion, or a trial, is taken up between two requests."""

import datetime as dt
import threading
import time
from collections.abc import Callable

import structlog

from churnops.bundle.manifest import Manifest
from churnops.errors import BundleError, ChurnopsError, RegistryError
from churnops.serving.cache import Cache
from churnops.serving.canary import Canary, Place
from churnops.serving.model import Models, Served
from churnops.serving.registered import Registered, Registry, Standing
from churnops.serving.shadow import Records, Shadow
from churnops.serving.trial import TAG, Plan, RunningTrial, plan_of

POLL_SECONDS = 2.0
_RETRY_SECONDS = 30.0


class Follower:
    """Keeps `models` at what the registry says of the model `name`. Each process follows by itself."""

    def __init__(self, name: str, alias: str, registry: Registry, cache: Cache) -> None:
        """Take up the version that holds the alias, or the last good one where that cannot be had.

        No trial has begun: see `start`. Raises RegistryError, StorageError or BundleError where there is
        neither.
        """
        self._name, self._alias, self._registry, self._cache = name, alias, registry, cache
        self._log = structlog.get_logger()
        self._number = 0
        self._told: dict[str, tuple[str, str]] = {}
        self._again: dict[str, tuple[int, float]] = {}  # which version was refused, and until when
        self._trial: RunningTrial | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="follow", daemon=True)
        last = cache.last()
        if last is None:
            number = self._holder(registry.standing(name))
            registered = registry.version(name, number)
            last = cache.make(cache.bundle(registered, registry), frozenset())
            cache.keep(last)
        self.models = Models(last)
        self._go_on(self._follow_alias)

    def start(self) -> None:
        """Begin the trial that is ordered; look every few seconds, in a thread of its own, until `close`."""
        self.look()
        self._thread.start()

    def close(self) -> None:
        """End, and write down how a trial stands."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        if self._trial:
            self._trial.close()
        self._cache.close()

    def look(self) -> None:
        """Ask the registry once, and do what it says; whatever goes wrong, the current model goes on."""
        self._go_on(self._follow)

    def _go_on(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - nobody foresaw it, and the next look may go well
            self.models.count("following_failure")
            self._tell("following", "failing", error)
        else:
            self._tell("following", "")

    def _follow(self) -> None:
        standing = self._follow_alias()
        if standing is None:
            return
        try:
            self._follow_trial(standing)
        except OSError as error:
            self._tell("trial", "cannot be followed", error)

    def _keep_looking(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self.look()

    def _follow_alias(self) -> Standing | None:
        """What the registry says, once the model that it names was taken up; None where it says nothing."""
        try:
            standing = self._registry.standing(self._name)
            number = self._holder(standing)
        except ChurnopsError as error:
            self.models.count("registry_failure")
            self._tell("registry", "not followed, serving the last good model", error)
            return None
        self._tell("registry", "followed")
        if number == self._number:
            self._tell("refused", "")
        else:
            self._change_to(number)
        return standing

    def _holder(self, standing: Standing) -> int:
        try:
            return standing.aliases[self._alias]
        except KeyError:
            others = ", ".join(sorted(standing.aliases))
            why = f"it knows {others}" if others else "nothing was run yet, or no bundle passed the gates"
            raise RegistryError(f"the registry holds no {self._alias} of {self._name}: {why}") from None

    def _change_to(self, number: int) -> None:
        """Take up a version; a trial that goes on ends, and the same look begins it anew beside that version.

        Its challenger is then made anew, since it must ignore what callers send for the new champion; what
        the trial has found so far is kept.
        """
        served = self._loaded(number, "refused")
        if served is None:
            return
        before, on_trial = self.models.current, self.models.trial
        if before is not served:  # first: no request is to meet the new model and the challenger of before
            self.models.trial = None
        self.models.current = served
        self._number = number
        self._tell("refused", "")
        if before is served:
            return
        if on_trial:  # one that was stopped here stays so
            self._end_trial()
        self.models.count("swap")
        self._log.info("model changed", model_version=served.model_version, before=before.model_version)
        try:
            self._cache.keep(served)
        except OSError as error:
            self._log.error("the last good model cannot be kept", error=str(error))

    def _loaded(self, number: int, what: str) -> Served | None:
        """A version, checked and warm, beside the current one; None, and told as `what`, where it is refused.

        A refused version is tried again later, since a store may have been half written; at once where
        something else was told in between.
        """
        refused, again_at = self._again.get(what, (0, 0.0))
        if refused == number and again_at > time.monotonic():
            return None
        current = self.models.current
        try:
            registered = self._registry.version(self._name, number)
            if registered.content_hash == current.manifest.content_hash:
                return current
            return self._compatible(registered, current)
        except Exception as error:  # noqa: BLE001 - what is wrong with a bundle may be anything
            self._tell(what, f"version {number} was refused", error)
            self._again[what] = (number, time.monotonic() + _RETRY_SECONDS)
            self.models.count("refused_bundle")
            return None

    def _compatible(self, registered: Registered, current: Served) -> Served:
        bundle = self._cache.bundle(registered, self._registry)
        faults = incompatible(bundle.manifest, current.manifest)
        if faults:
            raise BundleError(
                f"{registered.model_version} does not take what callers of {self._name} send: "
                f"{'; '.join(faults)}. Train it with those columns; or see that callers send what it takes, "
                f"and start again without the folder {self._cache.folder}"
            )
        return self._cache.make(bundle, current.names)

    def _follow_trial(self, standing: Standing) -> None:
        """Begin, go on with or end the trial that the registry orders."""
        text = standing.tags.get(TAG, "")
        plan = plan_of(text)
        if plan is None:
            why = "its plan was made by another version of churnops"
            self._end_trial()
            self._tell("trial", "cannot be followed" if text else "", why if text else "")
        elif plan.stopped:
            self._stopped(plan, plan.stopped)
        elif plan.version == self._number:
            self._end_trial()
            self._tell("trial", "")
        else:
            self._try(plan, Place(self._cache.folder / "canary", plan.id, self._cache.slot))

    def _try(self, plan: Plan, place: Place) -> None:
        """Begin or go on, unless a process of this machine stopped it."""
        why = place.stopped()
        if why:
            self._stopped(plan, why)
            self._tell_registry(plan.model_copy(update={"stopped": why}))
        elif self._trial is None or self._trial.plan != plan:
            self._end_trial()
            self._begin_trial(plan, place)
        elif self.models.trial is None:
            self._tell("trial", f"version {plan.version} was stopped", "here only, as was logged then")

    def _begin_trial(self, plan: Plan, place: Place) -> None:
        challenger = self._loaded(plan.version, "trial")
        if challenger is None:
            return
        records = Records(self._cache.folder / "shadow" / f"{plan.id}-{self._cache.slot}.jsonl")
        self._trial = (
            Shadow(plan, challenger, self.models, records)
            if plan.shadow
            else Canary(plan, challenger, self.models, place)
        )
        self._trial.start()
        self.models.trial = self._trial
        kind = "shadow" if plan.shadow else "canary"
        self._tell("trial", f"{challenger.model_version} as {kind}, share {plan.share:g}")

    def _end_trial(self) -> None:
        self.models.trial = None
        if self._trial:
            self._trial.close()
            self._trial = None

    def _stopped(self, plan: Plan, why: str) -> None:
        self._end_trial()
        self._tell("trial", f"version {plan.version} was stopped", why)

    def _tell_registry(self, plan: Plan) -> None:
        """Other machines are to see that the canary was stopped here; tried again at the next look."""
        try:
            self._registry.tag(self._name, TAG, plan.model_dump_json())
        except ChurnopsError as error:
            self._log.warning("the registry does not know yet that the canary stopped", error=str(error))

    def _tell(self, what: str, how: str, why: Exception | str = "") -> None:
        """Say `how` in `/readyz`, which anybody may read, and `why` in the log, where it is new.

        Whoever says why tells of trouble: since when is said too.
        """
        self._again.pop(what, None)
        before = self._told.get(what, ("", ""))
        self._told[what] = (how, str(why))
        if before == self._told[what]:
            return
        if not how:
            self.models.state.pop(what, None)
        elif how != before[0]:
            since = f" (since {dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ})" if why else ""
            self.models.state[what] = how + since
        fields = {what: how or "none"} | ({"why": str(why)} if why else {})
        unforeseen = isinstance(why, Exception) and not isinstance(why, (ChurnopsError, OSError))
        log = self._log.warning if why else self._log.info
        log("following", name=self._name, **fields, **({"exc_info": why} if unforeseen else {}))


def incompatible(new: Manifest, old: Manifest) -> list[str]:
    """Why requests that the old model takes might be refused by the new one, in words; empty: none would.

    Columns that only the old one takes are no reason: the new one ignores them where it takes its place.
    """
    before = {column.name: column for column in old.inputs}
    faults = []
    for column in new.inputs:
        known = before.get(column.name)
        if column.name in old.ignored_columns:
            faults.append(f"'{column.name}' was ignored and may be anything")
        elif known is None and not column.nullable:
            faults.append(f"'{column.name}' is new and may not be missing")
        elif known and known.kind != column.kind:
            faults.append(f"'{column.name}' was {known.kind} and is {column.kind}")
        elif known and known.nullable and not column.nullable:
            faults.append(f"'{column.name}' may be missing no longer")
    return faults
