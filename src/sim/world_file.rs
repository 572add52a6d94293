//! A world's folder as typed values: the shop, its customers, what they bought and paid, its help center and its tickets.
//! The format is documented in the README. All mistakes are found before anything runs, with file, line and hint.
//! What happens in a world while it runs is not here but in `world.rs`.

mod check;
mod parse;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::money::Currency;

pub(crate) use read::nearest;
pub use read::{Mistake, Place};

/// A world that cannot be used: every mistake in it.
#[derive(Debug, Clone, thiserror::Error)]
pub struct BadWorld {
    /// What was read: a folder, or the shipped world.
    pub from: String,
    /// The mistakes in the order of the files; at least one.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for BadWorld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.mistakes.len();
        write!(f, "the world in `{}` has {count} mistake{}", self.from, if count == 1 { "" } else { "s" })?;
        for mistake in &self.mistakes {
            write!(f, "\n  {mistake}")?;
        }
        Ok(())
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[allow(missing_docs, reason = "each word is its own explanation; the format documents them")]
        pub enum $name { $(#[serde(rename = $text)] $variant),+ }
        impl $name {
            /// Every word with its value, in the order of the format.
            pub const ALL: &'static [(&'static str, $name)] = &[$(($text, $name::$variant)),+];
            /// The word as the files write it.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// The state of a customer's account.
    CustomerStatus { Active = "active", Locked = "locked", Unpaid = "unpaid" }
);
words!(
    /// Which simulator knows a customer.
    Vendor { Zendesk = "zendesk", Stripe = "stripe", Billing = "billing" }
);
words!(
    /// How far an order is.
    OrderStatus {
        Pending = "pending", Processing = "processing", Shipped = "shipped", Delivered = "delivered",
        Cancelled = "cancelled", Returned = "returned",
    }
);
words!(
    /// The state of a subscription, in Stripe's words.
    SubscriptionStatus {
        Active = "active", Trialing = "trialing", PastDue = "past_due", Unpaid = "unpaid", Paused = "paused",
        Canceled = "canceled", Incomplete = "incomplete", IncompleteExpired = "incomplete_expired",
    }
);
words!(
    /// How a ticket came in.
    Channel { Email = "email", Web = "web", Api = "api" }
);
words!(
    /// A ticket's status at the helpdesk.
    TicketStatus { New = "new", Open = "open", Pending = "pending", Hold = "hold", Solved = "solved", Closed = "closed" }
);
words!(
    /// Who wrote an earlier message, or acts next.
    By { Requester = "requester", Person = "person", Deskhand = "deskhand" }
);
words!(
    /// What a later happening waits for.
    When { Answered = "answered", Escalated = "escalated", After = "after_s" }
);
words!(
    /// Who may read an article.
    Audience { Public = "public", Internal = "internal" }
);
words!(
    /// How a ticket should come to rest.
    Outcome {
        Resolved = "resolved", Escalated = "escalated", WaitingApproval = "waiting_approval",
        WaitingCustomer = "waiting_customer", Skipped = "skipped",
    }
);

/// A whole world, checked: every id that is mentioned exists.
#[derive(Debug, Clone)]
pub struct WorldFiles {
    /// The world's name.
    pub name: String,
    /// The world's time when it starts.
    pub now: Timestamp,
    /// The shop whose support this is.
    pub shop: Shop,
    /// What can be subscribed to.
    pub plans: Vec<Plan>,
    /// The people of the helpdesk.
    pub people: Vec<Person>,
    /// The groups of the helpdesk, by name, in the order of the file; never empty.
    pub groups: Vec<String>,
    /// Keys of `deskhand.toml` that this world overrides.
    pub config: Map<String, Value>,
    /// The customers, in the order of the file.
    pub customers: Vec<Customer>,
    /// What they ordered.
    pub orders: Vec<Order>,
    /// What they paid.
    pub payments: Vec<Payment>,
    /// What they subscribed to.
    pub subscriptions: Vec<Subscription>,
    /// The help center.
    pub articles: Vec<Article>,
    /// The mail that arrives, in the order of the file.
    pub tickets: Vec<TicketFile>,
}

/// The shop whose support this is.
#[derive(Debug, Clone)]
pub struct Shop {
    /// Its name, as customers know it.
    pub name: String,
    /// Where customers write to.
    pub support_address: String,
    /// What it counts in.
    pub currency: Currency,
    /// An IANA time zone.
    pub time_zone: String,
    /// Languages that it answers in, as two-letter codes.
    pub languages: Vec<String>,
    /// Domains that an answer may link to.
    pub link_domains: Vec<String>,
}

/// Something that can be subscribed to.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its id, used by subscriptions.
    pub id: String,
    /// Its name, as customers know it.
    pub name: String,
    /// The price of one unit for one interval, in minor units.
    pub amount_minor: i64,
    /// Of this currency.
    pub currency: Currency,
    /// `day`, `week`, `month` or `year`.
    pub interval: String,
}

/// A person of the helpdesk.
#[derive(Debug, Clone)]
pub struct Person {
    /// Its id, used by `assignee`.
    pub id: String,
    /// As customers see it.
    pub name: String,
    /// Its mail address.
    pub address: String,
    /// `agent` or `admin`.
    pub role: String,
    /// The group that it works in.
    pub group: Option<String>,
}

/// A mail address of a customer.
#[derive(Debug, Clone)]
pub struct Address {
    /// The address.
    pub address: String,
    /// Whether the customer proved that it is theirs.
    pub verified: bool,
}

/// A customer of the shop.
#[derive(Debug, Clone)]
pub struct Customer {
    /// The id, which is the billing API's.
    pub id: String,
    /// The name.
    pub name: String,
    /// The mail addresses; the first is the main one.
    pub addresses: Vec<Address>,
    /// The id in the shop's own records.
    pub external_id: Option<String>,
    /// The organization, by name.
    pub organization: Option<String>,
    /// Since when.
    pub created: Timestamp,
    /// The account's state.
    pub status: CustomerStatus,
    /// `fraud`, `vip` and the like.
    pub flags: Vec<String>,
    /// Which simulators know this customer.
    pub known_to: Vec<Vendor>,
    /// Free facts that the billing API serves.
    pub facts: Map<String, Value>,
}

impl Customer {
    /// The customer's id at Stripe: `cus_<id>`, unless the id already starts so.
    pub fn stripe_id(&self) -> String {
        if self.id.starts_with("cus_") { self.id.clone() } else { format!("cus_{}", self.id) }
    }
    /// Whether this simulator knows the customer.
    pub fn known_to(&self, vendor: Vendor) -> bool {
        self.known_to.contains(&vendor)
    }
}

/// A line of an order.
#[derive(Debug, Clone)]
pub struct Item {
    /// The article number.
    pub sku: String,
    /// Its name.
    pub name: String,
    /// How many.
    pub quantity: i64,
    /// The price of the line (all pieces together), in minor units of the order's currency.
    pub amount_minor: i64,
    /// Free facts.
    pub facts: Map<String, Value>,
}

/// An order.
#[derive(Debug, Clone)]
pub struct Order {
    /// The id, which is also the number that customers name.
    pub id: String,
    /// Whose.
    pub customer: String,
    /// When it was placed.
    pub created: Timestamp,
    /// How far it is.
    pub status: OrderStatus,
    /// What was ordered.
    pub items: Vec<Item>,
    /// What it is counted in.
    pub currency: Currency,
    /// The sum that was to pay, in minor units.
    pub total_minor: i64,
    /// The payments for it, by id.
    pub payments: Vec<String>,
    /// The carrier's number, or an object with more: as the file has it.
    pub tracking: Option<Value>,
}

/// How a payment was made.
#[derive(Debug, Clone)]
pub struct Method {
    /// `card`, `sepa_debit` and the like.
    pub kind: String,
    /// The brand of a card.
    pub brand: Option<String>,
    /// The last four digits.
    pub last4: Option<String>,
}

/// Money given back before the world starts.
#[derive(Debug, Clone)]
pub struct PastRefund {
    /// The id.
    pub id: String,
    /// Minor units of the payment's currency.
    pub amount_minor: i64,
    /// When.
    pub created: Timestamp,
    /// `succeeded`, `pending`, `failed` …
    pub status: String,
    /// Stripe's reason, if any.
    pub reason: Option<String>,
}

/// A payment.
#[derive(Debug, Clone)]
pub struct Payment {
    /// The id: Stripe's PaymentIntent; the charge is `ch_<id>`.
    pub id: String,
    /// Whose.
    pub customer: String,
    /// What was paid, in minor units.
    pub amount_minor: i64,
    /// Of this currency.
    pub currency: Currency,
    /// When.
    pub created: Timestamp,
    /// `succeeded`, `failed` …
    pub status: String,
    /// How.
    pub method: Method,
    /// Given back before the world starts.
    pub refunds: Vec<PastRefund>,
    /// Whether the customer disputes it at the bank.
    pub disputed: bool,
    /// The order that it paid.
    pub order: Option<String>,
    /// The subscription that it paid.
    pub subscription: Option<String>,
}

/// A subscription.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The id, the same at Stripe and the billing API.
    pub id: String,
    /// Whose.
    pub customer: String,
    /// The plan's id.
    pub plan: String,
    /// Seats or units, at least 1.
    pub quantity: i64,
    /// Its state.
    pub status: SubscriptionStatus,
    /// Since when.
    pub started: Timestamp,
    /// When the paid period ends.
    pub period_end: Timestamp,
    /// Whether it ends then.
    pub cancel_at_period_end: bool,
    /// Whether it rests.
    pub paused: bool,
}

/// An article of the help center.
#[derive(Debug, Clone)]
pub struct Article {
    /// The number.
    pub id: i64,
    /// The title.
    pub title: String,
    /// The section, by name.
    pub section: String,
    /// The language, `en-us` or `en`.
    pub locale: String,
    /// When its text last changed.
    pub updated: Timestamp,
    /// Not published yet.
    pub draft: bool,
    /// Who may read it.
    pub audience: Audience,
    /// The text, in Markdown.
    pub markdown: String,
    /// The file.
    pub place: Place,
}

/// Who wrote.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The mail address, as written.
    pub address: String,
    /// The name that the sender gives.
    pub name: String,
    /// Whether the helpdesk could verify the sender.
    pub verified: bool,
}

/// A file that came with a message.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// The file's name.
    pub name: String,
    /// The media type.
    pub kind: String,
    /// The text in it, where it is one.
    pub text: Option<String>,
}

/// A message written before the ticket arrived.
#[derive(Debug, Clone)]
pub struct Past {
    /// Who wrote it.
    pub by: By,
    /// Whether the customer can read it.
    pub public: bool,
    /// The text.
    pub body: String,
    /// When.
    pub at: Timestamp,
}

/// What happens next on a ticket.
#[derive(Debug, Clone)]
pub struct Then {
    /// What it waits for.
    pub when: When,
    /// Seconds after that (for `after_s`: after the ticket's arrival).
    pub after_s: f64,
    /// Who acts.
    pub by: By,
    /// What is written, if anything.
    pub body: Option<String>,
    /// Whether the customer can read it.
    pub public: bool,
    /// The status that it leaves, if it sets one.
    pub status: Option<TicketStatus>,
    /// The person who then owns the ticket, by id.
    pub assignee: Option<String>,
    /// The stand-in's script for the run that this message triggers.
    pub script: Option<Vec<Turn>>,
    /// Merged over the stand-in's routing of that run.
    pub route: Option<Map<String, Value>>,
}

/// What the reviewing person answers when an approval is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Yes.
    Approve,
    /// No.
    Reject,
    /// Yes, with this amount instead, in minor units.
    AmountMinor(i64),
    /// Nothing: the approval keeps waiting.
    None,
}

/// A call of a tool in a script.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptTool {
    /// The tool.
    pub name: String,
    /// Its input; texts may hold `{{tool.path}}`.
    pub input: Value,
}

/// A turn of the scripted stand-in.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Turn {
    /// What it says.
    pub text: Option<String>,
    /// What it calls.
    pub tools: Vec<ScriptTool>,
}

/// A change to money, a subscription or mail that should be there at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct ExpectedEffect {
    /// `create_refund`, `update_subscription` or `send_followup_email`.
    pub tool: String,
    /// A subset of the arguments that must match.
    pub args: Map<String, Value>,
}

/// What the public text must be like.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExpectedAnswer {
    /// Texts that must stand in it, whatever the case of the letters.
    pub must: Vec<String>,
    /// Texts that must not.
    pub must_not: Vec<String>,
    /// Articles that it must rest on.
    pub articles: Vec<i64>,
    /// The language that it must be in.
    pub language: Option<String>,
}

/// The right end of a ticket. Never shown to the agent or a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    /// How it comes to rest.
    pub outcome: Outcome,
    /// The rule that decides it.
    pub rule: Option<String>,
    /// Exactly these effects; `None` leaves them open.
    pub effects: Option<Vec<ExpectedEffect>>,
    /// What the public text must be like.
    pub answer: Option<ExpectedAnswer>,
}

/// A ticket of the file.
#[derive(Debug, Clone)]
pub struct TicketFile {
    /// Its number.
    pub id: i64,
    /// Seconds after the start.
    pub arrives_s: f64,
    /// Who wrote it.
    pub from: Sender,
    /// Who else received it.
    pub cc: Vec<Sender>,
    /// How it came in.
    pub channel: Channel,
    /// The subject.
    pub subject: String,
    /// The newest message as plain text.
    pub body: Option<String>,
    /// The newest message as HTML.
    pub html: Option<String>,
    /// Mail headers, for machine mail.
    pub headers: BTreeMap<String, String>,
    /// Files that came with it.
    pub attachments: Vec<Attachment>,
    /// Tags on arrival.
    pub tags: Vec<String>,
    /// Status on arrival.
    pub status: Option<TicketStatus>,
    /// The person who owns it on arrival, by id.
    pub assignee: Option<String>,
    /// Earlier messages, oldest first.
    pub history: Vec<Past>,
    /// What happens next.
    pub then: Vec<Then>,
    /// What the reviewing person answers.
    pub decision: Decision,
    /// The stand-in's script for the first run.
    pub script: Option<Vec<Turn>>,
    /// Merged over the stand-in's routing of the first run.
    pub route: Option<Map<String, Value>>,
    /// The right end.
    pub expect: Option<Expect>,
    /// Where it stands.
    pub place: Place,
}

impl WorldFiles {
    /// The customer with this id.
    pub fn customer(&self, id: &str) -> Option<&Customer> {
        self.customers.iter().find(|customer| customer.id == id)
    }
    /// The customer with this Stripe id.
    pub fn customer_at_stripe(&self, stripe_id: &str) -> Option<&Customer> {
        self.customers.iter().find(|customer| customer.stripe_id() == stripe_id)
    }
    /// All customers who have this address, whatever the case of its letters.
    pub fn customers_at<'a>(&'a self, address: &'a str) -> impl Iterator<Item = &'a Customer> + 'a {
        let has = move |customer: &&Customer| {
            customer.addresses.iter().any(|known| known.address.eq_ignore_ascii_case(address.trim()))
        };
        self.customers.iter().filter(has)
    }
    /// The plan with this id.
    pub fn plan(&self, id: &str) -> Option<&Plan> {
        self.plans.iter().find(|plan| plan.id == id)
    }
    /// The person with this id.
    pub fn person(&self, id: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.id == id)
    }
    /// The order with this id.
    pub fn order(&self, id: &str) -> Option<&Order> {
        self.orders.iter().find(|order| order.id == id)
    }
    /// The payment with this id.
    pub fn payment(&self, id: &str) -> Option<&Payment> {
        self.payments.iter().find(|payment| payment.id == id)
    }
    /// The ticket of the file with this number.
    pub fn ticket(&self, id: i64) -> Option<&TicketFile> {
        self.tickets.iter().find(|ticket| ticket.id == id)
    }
}

#[derive(rust_embed::RustEmbed)]
#[folder = "src/sim/worlds/"]
struct Shipped;

/// Reads and checks the world in a folder.
///
/// # Errors
/// Every mistake in it at once; a missing folder or file is one of them.
pub fn load_dir(folder: &Path) -> Result<WorldFiles, BadWorld> {
    let from = folder.display().to_string();
    let unreadable = |file: &str, why: &std::io::Error, hint: &str| Mistake {
        file: file.to_owned(),
        line: 0,
        what: format!("cannot be read: {why}"),
        hint: Some(hint.to_owned()),
    };
    let mut files = BTreeMap::new();
    let mut mistakes = Vec::new();
    if !folder.is_dir() {
        let what = "is not a folder".to_owned();
        let hint = Some("name a folder that holds `world.json`, `customers.jsonl` and `tickets.jsonl`".to_owned());
        return Err(BadWorld { mistakes: vec![Mistake { file: from.clone(), line: 0, what, hint }], from });
    }
    let mut read = |name: String, path: &Path| match std::fs::read(path) {
        Ok(bytes) => drop(files.insert(name, bytes)),
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => {}
        Err(why) => mistakes.push(unreadable(&name, &why, "make it readable")),
    };
    for name in parse::FILES {
        read((*name).to_owned(), &folder.join(name));
    }
    if let Ok(entries) = std::fs::read_dir(folder.join("articles")) {
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".md") {
                read(format!("articles/{name}"), &entry.path());
            }
        }
    }
    parse::world(&from, &files, mistakes)
}

/// Reads and checks the world that the binary carries.
///
/// # Errors
/// Every mistake in it; a test holds that there is none.
pub fn shipped() -> Result<WorldFiles, BadWorld> {
    let mut files = BTreeMap::new();
    for path in Shipped::iter() {
        if let (Some(name), Some(file)) = (path.strip_prefix("brightslot/"), Shipped::get(&path)) {
            files.insert(name.to_owned(), file.data.into_owned());
        }
    }
    parse::world("brightslot (shipped)", &files, Vec::new())
}
