"""The book's folder ``common``: its module names, with `chainrule` behind them."""
