"""Files of payouts: checked, approved as one, made into payouts, and followed."""
