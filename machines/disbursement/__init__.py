"""Files of payouts: many are asked for at once, and approved as one."""
