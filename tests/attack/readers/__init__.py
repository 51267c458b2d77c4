"""Each reader of the package, as a target."""
