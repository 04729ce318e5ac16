"""Limits within this process: `penstock.concurrency.sync`, and `penstock.concurrency.asyncio` for coroutines."""
