"""A bounty: an issue with a wallet of several owners, from the label to the receipt."""
