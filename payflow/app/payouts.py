"""The payout machine with its rails, its rules and its desk."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial

from aiohttp import web

from machines.core.machine import AnyMachine
from machines.core.ports import Rail
from machines.payout.acts import PayoutActs
from machines.payout.react import payout
from payflow.config import Settings
from payflow.desk.approvers import RegisteredApprovers
from payflow.desk.batches import Schedule
from payflow.desk.caps import PayoutCaps
from payflow.desk.gateways import FirstLook, GatewaySetup, WalletQueue
from payflow.desk.payout_files.made import file_machines
from payflow.desk.payouts import Desk
from payflow.desk.providers import ProviderHistories, usual_name
from payflow.desk.receipts.receipts import Receipts
from payflow.desk.reconcile.payouts import PayoutsReconcile
from payflow.desk.requests import WATCHED, name_rules, payout_policy, risk_thresholds, two_people_from
from payflow.store.store import Store
from payflow.telemetry.metrics import Metrics
from payflow.web import routes as api
from payflow.web.http.endpoints import AnyEndpoint
from payflow.web.pages.admin.frame import DashboardExtensions
from payflow.web.routes import Described


class Payouts:
    """The machine, its desk and its pages."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        metrics: Metrics,
        setups: Mapping[str, GatewaySetup],
        receipts: Receipts | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._metrics = metrics
        self._setups = setups
        self._schedule = Schedule(settings.batch_schedule, settings.batch_worker_rate_limit)
        self._thresholds = risk_thresholds(settings)
        watches = self._over({name: setup.watching or setup.rail for name, setup in setups.items()}).acts()
        looks = self._over({name: setup.rail for name, setup in setups.items()}).acts()
        self._asking = self._over({name: setup.asking or setup.rail for name, setup in setups.items()})
        acts = looks | {state: watches[state] for state in WATCHED}
        self.machine = payout(payout_policy(settings), acts, self._asking.prove)
        gateways = {name: setup.gateway for name, setup in setups.items()}
        self.desk = Desk(store, settings, metrics, gateways, self._schedule, receipts)
        self.machines: tuple[AnyMachine, ...] = (self.machine, *file_machines(store))

    def _over(self, rails: Mapping[str, Rail]) -> PayoutActs:
        """Make the looks that call over these rails: each purpose has a share of the calls for itself."""
        gateways = {name: setup.gateway for name, setup in self._setups.items()}
        return PayoutActs(
            rails,
            ProviderHistories(self._store),
            self._schedule,
            self._store.seals,
            self._store.permit_keys,
            self._thresholds,
            WalletQueue(self._store, {name: setup.wallet for name, setup in self._setups.items() if setup.wallet}),
            FirstLook(
                gateways,
                self._store.seals,
                borne_by_provider=self._settings.payout_fee_bearer == "provider",
                names=name_rules(self._settings),
                usual_name=partial(usual_name, self._store),
            ),
            two_people_from(self._settings, self._store),
            payout_policy(self._settings),
            {name: setup.lists for name, setup in self._setups.items()},
            PayoutCaps(self._store, self._settings),
            RegisteredApprovers(self._store),
        )

    def routes(
        self,
        more: DashboardExtensions | None = None,
        described: Described = ((), ()),
        also: Iterable[AnyEndpoint] = (),
    ) -> list[web.RouteDef]:
        """List the routes of the API and of the pages.

        What other machines add to the dashboard comes with `more`, what they serve for the document with `described`.
        """
        hooks = [setup.hooks for setup in self._setups.values() if setup.hooks]
        return [
            *api.routes(self.desk, self._settings, self._metrics, hooks, described, also),
            *api.pages(self.desk, self._settings, self._board(more or DashboardExtensions())),
        ]

    def _board(self, more: DashboardExtensions) -> DashboardExtensions:
        given = self._settings.lanes
        explorers = {name: f"{lane.explorer}{{reference}}" for name, lane in given.items() if lane.explorer}
        return replace(
            more,
            rails={name: setup.wallet for name, setup in self._setups.items()} | dict(more.rails),
            lanes=dict.fromkeys(given) | dict(more.lanes),
            explorers=explorers | dict(more.explorers),
        )

    def reconcile(self, lanes: Collection[str] = ()) -> PayoutsReconcile:
        """Give what compares payouts with their gateways after the store lost writes; lanes are compared by nonces."""
        lists = {name: setup.lists for name, setup in self._setups.items() if name not in lanes}
        return PayoutsReconcile(self._store, self._metrics, self._asking, lists)
