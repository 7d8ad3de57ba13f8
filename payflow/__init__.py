"""Payflow, the service: engine, store, API and command line around the machines."""
