//! Deskhand: a self-hosted customer-support agent.

pub mod clock;
pub mod ids;
pub mod intent;
pub mod money;

pub mod sim;
