//! Simulators of the vendors, over HTTP on loopback, written from the vendors' documentation. Only `demo`, `sim` and the tests start them.

pub mod claude;
pub mod ledger;
pub mod standin;
pub mod world;
pub mod world_file;
