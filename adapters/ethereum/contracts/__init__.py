"""Contracts: what the compiler made of our own, and of others' what we ask of them."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from eth_abi.abi import encode
from eth_utils.abi import (
    event_abi_to_log_topic,
    filter_abi_by_name,
    function_abi_to_4byte_selector,
    get_abi_input_types,
)


@cache
def artifact(contract: str) -> dict[str, Any]:
    """Give a contract's ABI, and the bytecode of one of ours."""
    found: dict[str, Any] = json.loads(files(__name__).joinpath(f"{contract}.json").read_text("utf-8"))
    return found


@cache
def topic(contract: str, event: str) -> str:
    """Give the word that names an event in a log."""
    return "0x" + event_abi_to_log_topic(_entry(contract, event)).hex()


def call_data(contract: str, function: str, *values: object) -> str:
    """Write a call with the codec alone: a contract object takes ten times as long, for each payee of a batch."""
    selector, types = _called(contract, function)
    return "0x" + (selector + encode(types, values)).hex()


@cache
def _called(contract: str, function: str) -> tuple[bytes, list[str]]:
    entry = _entry(contract, function)
    return function_abi_to_4byte_selector(entry), get_abi_input_types(entry)


def _entry(contract: str, name: str) -> Any:  # noqa: ANN401  (one part of an ABI)
    (found,) = filter_abi_by_name(name, artifact(contract)["abi"])
    return found
