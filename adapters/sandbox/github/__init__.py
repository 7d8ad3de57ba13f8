"""A GitHub on loopback: what it has, the part of its API that Payflow uses, and the deliveries that it makes."""
