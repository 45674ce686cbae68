"""Where masks go that commands publish, by the level of their products."""

import threading
from dataclasses import dataclass
from pathlib import Path

from kappamask_backend.installation import Installation
from kappamask_backend.model_choice import choose_model, open_registry
from kappamask_catalog.collection.keeping import ensure_collection
from kappamask_catalog.masking import MaskOptions
from kappamask_catalog.publishing.publisher import Target
from kappamask_udf.models import ModelSpec
from kappamask_udf.pixels import Level


@dataclass(frozen=True)
class Wish:
    """How masks are to be made."""

    model: str | None
    """Name of a model; the default of the product's level if `None`."""
    options: MaskOptions
    claim_seconds: float | None = None
    is_dry_run: bool = False
    is_forced: bool = False


class Targets:
    """Where masks of a level go, prepared when the first product of that level comes."""

    def __init__(self, installation: Installation, wish: Wish, work: Path):
        self._installation, self._wish, self._work = installation, wish, work
        self._known: dict[Level, Target] = {}
        self._lock = threading.Lock()

    def __call__(self, level: Level) -> Target:
        """Where masks of products of a level go.

        Raises:
            ModelError: the model cannot be used.
            StoreError: the collection cannot be prepared.
        """
        with self._lock:
            if level not in self._known:
                self._known[level] = self._prepare(level)
            return self._known[level]

    def _prepare(self, level: Level) -> Target:
        here, wish = self._installation, self._wish
        spec = choose_model(wish.model, level).spec
        models = _models_of(level, spec)
        return Target(
            store=here.store,
            storage=here.storage,
            collection_id=ensure_collection(here.store, level, models, here.stac.host),
            model=spec,
            options=wish.options,
            work=self._work,
            claim_seconds=wish.claim_seconds or here.stac.claim_seconds,
            is_dry_run=wish.is_dry_run,
            is_forced=wish.is_forced,
        )


def _models_of(level: Level, chosen: ModelSpec) -> list[ModelSpec]:
    """Models of a level, the chosen one among them even if it is not registered."""
    known = {one.spec.name: one.spec for one in open_registry() if one.spec.level == level}
    if chosen.level == level:
        known.setdefault(chosen.name, chosen)
    return [known[name] for name in sorted(known)]
