//! Brings runs in: looks at the helpdesk for tickets that changed and opens or joins runs. Decides nothing but whether there
//! is something to answer.

pub mod poller;
