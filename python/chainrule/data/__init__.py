"""MNIST, other data sets in its format, and your own tables and pictures as examples to train on."""
