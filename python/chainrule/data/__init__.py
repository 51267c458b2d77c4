"""The digits, other data in their format, and pictures made into such."""
