"""Every metric, in one place. The help texts are what an operator reads in Grafana."""

from functools import cache, cached_property
from importlib.metadata import version
from platform import python_version
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, disable_created_metrics

# Each series would get a second one with the time of its birth, which nobody reads.
disable_created_metrics()  # type: ignore[no-untyped-call]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The metrics of one process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry(auto_describe=True)
        where: dict[str, Any] = {"registry": self.registry}
        self.moves = Counter(
            "payflow_moves", "Moves of records, by machine and states.", ("machine", "from_state", "to_state"), **where
        )
        self.acts = Histogram(
            "payflow_act_seconds", "How long a look at a record took.", ("machine", "state"), buckets=_SECONDS, **where
        )
        self.act_errors = Counter(
            "payflow_act_errors",
            "Looks that ended in an error: retryable, rejected, unknown, paused, not_durable, seal_key, unsigned, "
            "unknown_key, bug.",
            ("machine", "state", "kind"),
            **where,
        )
        self.forged = Counter(
            "payflow_forged_rows", "Rows beside the records that were read and are not what Payflow wrote.", **where
        )
        self.parked = Counter(
            "payflow_parkings", "Times that a record was set aside for an operator.", ("machine",), **where
        )
        self.noted = Counter("payflow_facts_contradicting", "Facts that contradicted a record.", ("machine",), **where)
        self.leases_lost = Counter(
            "payflow_leases_lost", "Leases that ended before the work did.", ("machine",), **where
        )
        self.commit_seconds = Histogram(
            "payflow_commit_seconds", "How long one call that commits took.", buckets=_SECONDS, **where
        )
        self.commit_batch = Histogram(
            "payflow_commit_batch_size", "Decisions written by one call.", buckets=_SIZES, **where
        )
        self.delivered = Counter("payflow_messages_delivered", "Messages delivered, by kind.", ("kind",), **where)
        self.undelivered = Counter("payflow_messages_failed", "Deliveries that failed, by kind.", ("kind",), **where)
        self.requests = Counter(
            "payflow_requests", "Requests to the API, by place and answer.", ("place", "status"), **where
        )
        self.webhooks = Counter(
            "payflow_webhooks",
            "Webhooks by what became of them: taken, again, asleep, unknown, other, unread, forged.",
            ("source", "outcome"),
            **where,
        )
        self.rail_calls = Histogram(
            "payflow_rail_call_seconds",
            "How long a call to a rail took, by what it was (prepare, submit, status) and what came of it: answered, "
            "refused, retryable, closed, put_off (our own budget), unknown, contradiction, bug.",
            ("rail", "call", "outcome"),
            buckets=_SECONDS,
            **where,
        )
        self.store_up = Gauge("payflow_store_up", "1 when the store answered at this scrape.", **where)
        self.lanes = LaneMetrics(self.registry)
        self.pools = PoolMetrics(self.registry)
        # A look-up by labels costs more than the count itself, so the ones in the hot path are kept.
        self.moved = _Counted(self.moves)
        self.looked = _Timed(self.acts)
        self.build = Info("payflow_build", "Which Payflow this is.", **where)
        self.build.info({"version": version("payflow"), "python": python_version()})

    def committed(self, decisions: int, seconds: float) -> None:
        """Count one call that committed."""
        self.commit_batch.observe(decisions)
        self.commit_seconds.observe(seconds)

    @cached_property
    def worker_seen(self) -> Gauge:
        """Comes into being with a worker: a process without one must not say that its worker was last seen in 1970."""
        return Gauge(
            "payflow_worker_last_claim_timestamp_seconds",
            "When this worker last asked for work.",
            registry=self.registry,
        )


class LaneMetrics:
    """What the processes that work on lanes see of them and of the nodes. Without a lane there is no series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        lane: dict[str, Any] = {"labelnames": ("lane",), "registry": registry}
        self.next_nonce = Gauge("payflow_lane_next_nonce", "The nonce that the lane signs next.", **lane)
        self.in_flight = Gauge("payflow_lane_in_flight", "Transactions of the lane that are signed, not final.", **lane)
        self.oldest_unmined = Gauge(
            "payflow_lane_oldest_unmined_seconds", "How long the lane's oldest transaction waits for a block.", **lane
        )
        self.fee_paid = Counter("payflow_lane_fee_paid_wei", "Fees of the lane's transactions that are final.", **lane)
        self.bumps = Counter("payflow_lane_bumps", "Times that a fee was raised at the same nonce.", **lane)
        self.balance = Gauge("payflow_lane_balance_wei", "What the lane's address holds.", **lane)
        self.waiting_money = Gauge(
            "payflow_lane_waiting_money", "Payments of the lane that wait until its address holds more.", **lane
        )
        self.capped = Gauge("payflow_lane_capped", "1 while one of the lane's caps holds something.", **lane)
        self.without_quorum = Gauge(
            "payflow_lane_without_quorum", "1 while too few of the lane's nodes say the same.", **lane
        )
        self.node_lag = Gauge(
            "payflow_node_lag_blocks", "By how many blocks a node is behind the best of ours.", ("node",),
            registry=registry,
        )  # fmt: skip
        self.node_errors = Counter(
            "payflow_node_errors", "Calls to a node that failed, by kind.", ("node", "kind"), registry=registry
        )


class PoolMetrics:
    """What the process that pays a mining pool's miners knows after each run. Without a pool there is no series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        pool: dict[str, Any] = {"labelnames": ("coin",), "registry": registry}
        self.due = Gauge("payflow_pool_due", "Miners who were due in the pool's last run.", **pool)
        self.pending = Gauge("payflow_pool_pending", "Rows that the last run left among the pending payments.", **pool)
        self.paid = Counter("payflow_pool_paid_shannon", "Shannon that the pool's runs saw paid.", **pool)
        self.waiting = Gauge(
            "payflow_pool_waiting", "1 when the pool's last run could not pay all who were due.", **pool
        )
        self.last_run = Gauge("payflow_pool_last_run_timestamp_seconds", "When the pool's last run ended.", **pool)


class StoreGauges:
    """What one scrape read from the store: true with any number of workers, and never older than the scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        where: dict[str, Any] = {"registry": self.registry}
        of_state: dict[str, Any] = {"labelnames": ("machine", "state"), **where}
        self.durable = Gauge("payflow_store_durable", "1 when the store is durable enough to send money.", **where)
        self.clients = Gauge("payflow_store_clients", "Connections that the store has, of everybody.", **where)
        self.sequence_alarm = Gauge(
            "payflow_sequence_alarm",
            "1 for each shard whose rails are closed because the store lost writes.",
            ("shard",),
            **where,
        )
        self.records = Gauge("payflow_records", "Records by machine and state.", **of_state)
        self.oldest = Gauge(
            "payflow_oldest_record_age_seconds", "How long the oldest record of a state has been there.", **of_state
        )
        self.due = Gauge("payflow_records_due", "Records whose next look is due and not begun.", **of_state)
        self.due_lag = Gauge(
            "payflow_due_lag_seconds", "How late the record is that waits longest for a look.", **of_state
        )
        self.state = Gauge(
            "payflow_state",
            "1 for each state of each machine: who moves records on, whether it sends money, whether it is final.",
            ("machine", "state", "by", "sends", "final"),
            **where,
        )
        self.stuck_after = Gauge(
            "payflow_state_stuck_after_seconds", "After how long in a state somebody should ask why.", **of_state
        )
        self.oldest_at_rail = Gauge(
            "payflow_rail_oldest_record_age_seconds",
            "How long a rail's oldest record of a state has been there, among the oldest of the state.",
            ("rail", "machine", "state"),
            **where,
        )
        self.parked = Gauge("payflow_records_parked", "Records that are set aside for an operator.", **where)
        self.failing = Gauge(
            "payflow_records_failing", "Records whose looks have failed for a minute or longer.", **where
        )
        self.unfit_outside = Gauge(
            "payflow_outside_unfit", "Those outside that were not as they should be when they were asked last.", **where
        )
        self.paused = Gauge("payflow_paused", "1 for each scope whose sends are paused.", ("scope",), **where)
        wallet: dict[str, Any] = {"labelnames": ("rail", "asset"), **where}
        self.wallet_waiting = Gauge(
            "payflow_wallet_waiting_payouts", "Payouts that our wallet at a rail is too low for.", **wallet
        )
        self.wallet_missing = Gauge(
            "payflow_wallet_waiting_units", "What those payouts need, in the asset's ledger units.", **wallet
        )
        self.wallet_held = Gauge(
            "payflow_wallet_held_units", "What our wallet at a rail held when it was last asked.", **wallet
        )
        cap: dict[str, Any] = {"labelnames": ("cap", "asset"), **where}
        self.cap_used = Gauge("payflow_payout_cap_used_ratio", "How much of a cap of the day payouts have used.", **cap)
        self.cap_reached = Gauge(
            "payflow_payout_cap_reached", "1 while payouts wait because too little is left of a cap of the day.", **cap
        )
        self.rail_closed = Gauge(
            "payflow_rail_closed",
            "1 for each rail that closed itself, because the gateway refuses every payment of ours.",
            ("rail",),
            **where,
        )
        self.pause_age = Gauge(
            "payflow_pause_age_seconds", "For how long the sends of a scope have been paused.", ("scope",), **where
        )
        self.conserved = Gauge(
            "payflow_ledger_conserved", "1 when the last walk over the books found nothing lost or made.", **where
        )
        self.books_age = Gauge(
            "payflow_ledger_check_age_seconds", "How long ago the books were last walked over.", **where
        )
        self.findings = Gauge(
            "payflow_findings_open",
            "Open differences between our books and what a rail says.",
            ("rail", "kind", "severity"),
            **where,
        )
        self.statement_age = Gauge(
            "payflow_statement_age_seconds", "How long ago a rail's statement was last read.", ("rail",), **where
        )
        self.outbox = Gauge("payflow_outbox_messages", "Messages that wait to be delivered.", **where)
        self.outbox_lag = Gauge(
            "payflow_outbox_lag_seconds", "How late the message is that waits longest to be delivered.", **where
        )
        self.given_up = Gauge(
            "payflow_outbox_given_up", "Messages that were given up and wait for an operator.", **where
        )


class _Counted:
    """A counter whose labelled children are looked up once."""

    def __init__(self, counter: Counter) -> None:
        self._child = cache(lambda labels: counter.labels(*labels))

    def __call__(self, *labels: str) -> None:
        self._child(labels).inc()


class _Timed:
    """A histogram by machine and state whose labelled children are looked up once."""

    def __init__(self, histogram: Histogram) -> None:
        self._child = cache(histogram.labels)

    def __call__(self, machine: str, state: str, seconds: float) -> None:
        self._child(machine, state).observe(seconds)
