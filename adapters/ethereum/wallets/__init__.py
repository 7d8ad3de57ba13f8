"""Wallets that several people own: Safe, and the MultiSigWallet of the old system, behind one port."""
