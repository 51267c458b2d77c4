"""What is differentiated: functions, layers, networks; and which networks Rust runs."""
