"""Warm agent sessions and the processes behind them."""
