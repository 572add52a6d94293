//! Simulators of the vendors, over HTTP on loopback, written from the vendors' documentation. Only `demo`, `sim` and the tests start them.
