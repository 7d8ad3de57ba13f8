"""Telling people by mail, push and chat, and platforms by signed webhooks."""
