"""Payouts in virtual time: the real machine, engine, store and clients, against gateways that are unkind."""
