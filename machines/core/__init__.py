"""The ground that every machine stands on: money, ids, lifecycles, records, decisions."""
