"""The keys of a pool's Redis. All are the pool's own but `applied`, `fsync` and `synced`, which are ours."""

from dataclasses import dataclass

FSYNC = ("payflow", "fsync")
"""What the key ends with that says how a server synced before a run, whatever the coin."""


@dataclass(frozen=True, slots=True)
class PoolKeys:
    """The keys of one coin."""

    coin: str

    def _key(self, *parts: str) -> str:
        return ":".join((self.coin, *parts))

    def miner(self, login: str) -> str:
        """Hash: balance, pending, paid, immature (Shannon), lastShare, blocksFound."""
        return self._key("miners", login)

    @property
    def miners(self) -> str:
        """The pattern of all miners' keys."""
        return self._key("miners", "*")

    @property
    def finances(self) -> str:
        """Hash: the sums of all miners, and where the unlocker stands."""
        return self._key("finances")

    @property
    def lock(self) -> str:
        """String: the row that holds the lock; it never expires."""
        return self._key("payments", "lock")

    @property
    def pending(self) -> str:
        """Sorted set: `<login>:<amount>` by the second of the debit."""
        return self._key("payments", "pending")

    @property
    def all(self) -> str:
        """Sorted set: `<tx>:<login>:<amount>` by the second of the payment."""
        return self._key("payments", "all")

    def payments(self, login: str) -> str:
        """Sorted set: `<tx>:<amount>` by the second of the payment. It shares its namespace with the keys above."""
        return self._key("payments", login)

    @property
    def pending_tx(self) -> str:
        """Hash of open-etc-pool: row → hash."""
        return self._key("payments", "pendingtx")

    @property
    def pending_nonce(self) -> str:
        """Hash of open-etc-pool: row → nonce."""
        return self._key("payments", "pendingnonce")

    def settings(self, login: str) -> str:
        """Hash of the friends fork: payoutthreshold."""
        return self._key("settings", login)

    @property
    def applied(self) -> str:
        """Hash, ours: payment key → the step that the books have reached with it."""
        return self._key("payflow", "applied")

    @property
    def fsync(self) -> str:
        """String, ours, for the time of a run: what `appendfsync` was before and will be again."""
        return self._key(*FSYNC)

    @property
    def synced(self) -> str:
        """String, ours, for some seconds: what is written so that the disk can be waited for."""
        return self._key("payflow", "synced")

    def touched(self, login: str) -> list[str]:
        """List the keys of a change, in the order that the scripts name them."""
        return [
            self.applied,
            self.lock,
            self.pending,
            self.miner(login),
            self.finances,
            self.all,
            self.payments(login),
            self.pending_tx,
            self.pending_nonce,
        ]
