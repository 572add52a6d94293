//! What a customer's words signal, by lists of patterns in five languages. The stand-in's own reading; the product's rules have
//! their own lists and do not use these.

mod money;
mod order;
mod person;

pub use money::{duplicate, latest, money_back, refund_status, renewal, whole};
pub use order::{account, billing_date, change, how_to, order_status, pause, reminder, resume};
pub use person::{angry, churn, legal, only_thanks, spam, wants_person};
