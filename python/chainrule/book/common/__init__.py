"""The book's folder ``common``: its module names, over `chainrule`."""
