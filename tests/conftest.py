"""What holds for all tests."""

from hypothesis import settings

# By default an example may take 0.2 s of the clock: on a busy machine that fails whatever the test is about.
settings.register_profile("chainrule", deadline=None)
settings.load_profile("chainrule")
