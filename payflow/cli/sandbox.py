"""Running the sandbox."""

import shutil

from payflow import app
from payflow.app.sandbox import World, play
from payflow.cli.desk import leaving, print_json
from payflow.cli.words import console
from payflow.config import load


def run(*, port: int | None, fresh: bool, as_json: bool) -> None:
    """Run until a signal comes."""

    def announce(world: World) -> None:
        if as_json:
            told = {"payflow": world.payflow, "flutterwave": world.flutterwave}
            told |= {"mail": world.mail, "mails": world.mails}
            kept = {"webhook_hash": world.webhook_hash, "tokens": dict(world.tokens), "data": str(world.data)}
            print_json(told | kept)
            return
        console().print(f"Payflow listens on {world.payflow}, a simulated Flutterwave on {world.flutterwave}.")
        console().print(f"Its mails are read at {world.mails}, its bank is steered under {world.flutterwave}/_sandbox.")
        console().print(f"Tokens are in {world.tokens_file}: {', '.join(world.tokens)}. Ctrl-C ends it.")

    with leaving():
        settings = load()
        folder = settings.data / "sandbox"
        if fresh and folder.exists():
            shutil.rmtree(folder)
        changes: dict[str, object] = {"data": folder, "redis_url": None, "redis_host": None, "redis_sentinels": ()}
        if port is not None:
            changes["port"] = port
        app.run(play(settings.model_copy(update=changes), announce))
