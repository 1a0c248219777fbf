//! Tests that walk the table.
