//! tests-differential: to be written.
