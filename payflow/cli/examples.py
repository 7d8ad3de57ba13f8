"""An example for every command, shown at the end of its help. A test types each of them.

A command may have its example in its docstring instead, as a last line `Example: payflow …`.
"""

from collections.abc import Iterator, Mapping

import typer
from typer.models import CommandInfo

RECORD = "payout-03-abcdefgh23456777"

EXAMPLES: Mapping[str, str] = {
    # run it
    "serve": "PAYFLOW_PORT=9000 payflow serve",
    "worker": "PAYFLOW_WORKER_PORT=8081 payflow worker",
    "init": "PAYFLOW_DATA=/var/lib/payflow payflow init",
    "doctor": "payflow doctor --json",
    "sandbox": "payflow sandbox --fresh",
    "simulate": "payflow simulate --runs 20 --seed 1",
    "seal-key": "payflow seal-key",
    # look
    "ls": "payflow ls --stuck",
    "show": f"payflow show {RECORD}",
    "tail": "payflow tail --json",
    "top": "payflow top --every 5",
    "lifecycle": "payflow lifecycle payout --mermaid",
    # steer
    "override": f'payflow override {RECORD} CANCELLED --reason "the bank confirms that it never left"',
    "proposals": "payflow proposals",
    "confirm": f"payflow confirm {RECORD}",
    "decline": f"payflow decline {RECORD}",
    "retry": f"payflow retry {RECORD}",
    "pause": 'payflow pause rail:flutterwave --why "their status page is red"',
    "resume": 'payflow resume rail:flutterwave --why "their status page is green again"',
    "paused": "payflow paused",
    "token create": "payflow token create shop --role platform --platform shop",
    "token ls": "payflow token ls",
    "token revoke": "payflow token revoke shop",
    "payout approve": f"payflow payout approve {RECORD}",
    "payout reject": f'payflow payout reject {RECORD} --reason "no invoice"',
    "payout cancel": f'payflow payout cancel {RECORD} --reason "asked for twice"',
    "payout retry": f"payflow payout retry {RECORD}",
    "payout release": f'payflow payout release {RECORD} --reason "she wants it by cheque"',
    "payout correct": f"payflow payout correct {RECORD} --account 0123456789 --bank 044",
    "batch run": "payflow batch run --limit 100",
    "batch ls": "payflow batch ls",
    "batch show": "payflow batch show 20270115-080000-batch",
    "provider set": "payflow provider set ann --verified",
    "provider show": "payflow provider show ann",
    "outbox ls": "payflow outbox ls",
    "outbox replay": "payflow outbox replay --all",
    # bounties
    "bounty ls": "payflow bounty ls --all",
    "bounty show": "payflow bounty show bounty-03-abcdefgh23456777",
    "bounty decide": "payflow bounty decide bounty-03-abcdefgh23456777 --pull 12",
    "bounty sync": "payflow bounty sync",
    # a mining pool
    "pool run": "payflow pool run payouts.json --once --dry-run",
    "pool due": "payflow pool due --config payouts.json",
    "pool pending": "payflow pool pending --config payouts.json",
    "pool resolve": "payflow pool resolve --config payouts.json --dry-run",
    "pool unlock": "payflow pool unlock --config payouts.json --dry-run",
    "pool audit": "payflow pool audit --config payouts.json",
    "pool adopt": "payflow pool adopt --config payouts.json --dry-run",
    "pool rebook": "payflow pool rebook --config payouts.json --dry-run",
    "pool credit": "payflow pool credit 0xb85150eb365e7df0941f0cf08235f987ba91506a 52500000 --config payouts.json",
    "pool mark-paid": "payflow pool mark-paid 0xb85150eb365e7df0941f0cf08235f987ba91506a 52500000 0xabc… --dry-run",
    "pool repeat": "payflow pool repeat 0xb85150eb365e7df0941f0cf08235f987ba91506a 52500000 0xabc… --dry-run",
    "pool add-missing": "payflow pool add-missing 0xb85150eb365e7df0941f0cf08235f987ba91506a 52500000 0xabc… --dry-run",
    # keep
    "backup": "payflow backup /backups/payflow-2027-01-15.tar.zst",
    "restore": "payflow restore /backups/payflow-2027-01-15.tar.zst",
    "export": "payflow export ann.jsonl --owner ann --since 30d",
    "archive": "payflow archive --before 180d",
    # prove
    "ledger": "payflow ledger ann",
    "verify": "payflow verify",
    "reconcile": "payflow reconcile --since 2027-01-15T08:00",
}


def put_into(cli: typer.Typer) -> None:
    """Give every command its example."""
    for path, command in commands(cli):
        if path in EXAMPLES:
            command.epilog = f"Example: {EXAMPLES[path]}"


def commands(cli: typer.Typer, before: str = "") -> Iterator[tuple[str, CommandInfo]]:
    """Walk over all commands, each with the words that lead to it."""
    for command in cli.registered_commands:
        name = command.name or (command.callback.__name__.replace("_", "-") if command.callback else "")
        yield f"{before}{name}", command
    for group in cli.registered_groups:
        if group.typer_instance is not None:
            named = next((one for one in (group.name, group.typer_instance.info.name) if isinstance(one, str)), "")
            yield from commands(group.typer_instance, f"{before}{named} " if named else before)
