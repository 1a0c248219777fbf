//! tests-harness: to be written.
