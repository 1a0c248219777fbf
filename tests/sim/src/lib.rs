//! The simulation of nodes, election and log together is a test: `tests/nodes`.
