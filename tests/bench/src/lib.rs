//! tests-bench: to be written.
