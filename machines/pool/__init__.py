"""Pool payments: what a mining pool owes its miners, debited, sent and booked in the pool's own books."""
