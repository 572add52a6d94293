//! One ticket as the heuristics see it: what the customer wants, in which language, and what the records say so far.

use jiff::civil::Date;
use serde_json::Value;

use super::conversation::{Conversation, Used};
use super::figures::{self, Seats};
use super::signals;
use super::text::{self, Language, folded_words};

/// Something that the customer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// Money of a charge that came twice.
    Duplicate,
    /// Money back.
    Refund,
    /// To know where a refund is.
    RefundStatus,
    /// To know how an order is doing.
    OrderStatus,
    /// Other seats.
    Seats(Seats),
    /// Another plan, by id.
    Plan(String),
    /// The subscription paused.
    Pause,
    /// The subscription running again.
    Resume,
    /// Another day for the bill.
    BillingDate,
    /// A mail later.
    Reminder,
    /// Facts of the account.
    Account,
    /// To know how something is done.
    HowTo,
    /// Nothing; thanks.
    Thanks,
    /// Not to be made out.
    Unclear,
}

/// A ticket in the middle of its run.
pub struct Case<'a> {
    /// The conversation.
    pub talk: &'a Conversation,
    /// The language to answer in.
    pub language: Language,
    /// Subject and the customer's newest own words.
    pub about: String,
    /// The newest own words alone.
    pub own: String,
    /// Folded words of `about`.
    pub words: Vec<String>,
    /// Today.
    pub today: Date,
    /// What `get_customer` says.
    pub customer: Value,
    /// What is wanted.
    pub wants: Vec<Want>,
}

/// An effect that was not carried out only because the customer wrote in between.
fn overtaken(used: &Used) -> bool {
    used.value["error"].as_str().is_some_and(|error| error.contains("customer wrote again"))
}

/// Words that, beside an order's number, ask how far it is.
const ASKS_AFTER_AN_ORDER: [&str; 16] = [
    "status",
    "where",
    "left",
    "shipped",
    "arrive",
    "arrived",
    "delivered",
    "wo",
    "wann",
    "ou",
    "quand",
    "donde",
    "cuando",
    "onde",
    "quando",
    "moment",
];

impl<'a> Case<'a> {
    /// Reads a conversation.
    pub fn read(talk: &'a Conversation) -> Self {
        let newest = talk.newest_from_customer();
        let mut own = text::own_part(newest.as_ref().map_or("", |message| &message.text));
        for news in talk.turns.iter().filter_map(|turn| news(&turn.said_after)) {
            own = format!("{own}\n\n{}", text::own_part(&news));
        }
        let this = talk.this_ticket().cloned().unwrap_or_default();
        let subject = this["subject"].as_str().unwrap_or("");
        let about = format!("{subject}\n{own}");
        let told = this["language"].as_str().and_then(Language::of_code);
        let language =
            text::language(if text::words(&own).len() > 2 { &own } else { &about }).or(told).unwrap_or(Language::En);
        let at = newest.map(|message| message.at).unwrap_or_default();
        let customer = talk.latest("get_customer").cloned().unwrap_or_default();
        let mut case = Self {
            talk,
            language,
            words: folded_words(&about),
            own,
            about,
            today: today(&talk.opening).or_else(|| today(&at)).unwrap_or(jiff::civil::date(2026, 1, 1)),
            customer,
            wants: Vec::new(),
        };
        case.wants = case.find_wants();
        case
    }

    fn find_wants(&self) -> Vec<Want> {
        let words = &self.words;
        let own_words = folded_words(&self.own);
        if own_words.is_empty() && text::words(&self.about).len() < 3 {
            return vec![Want::Unclear];
        }
        if signals::only_thanks(&own_words, &self.own, 12) {
            return vec![Want::Thanks];
        }
        let asks_how = asks_how(words);
        let mut wants = Vec::new();
        let named = !figures::order_ids(&self.about).is_empty();
        if signals::duplicate(words) {
            wants.push(Want::Duplicate);
        } else if signals::refund_status(words) {
            wants.push(Want::RefundStatus);
        } else if signals::money_back(words, &self.about) && (named || !asks_how) {
            wants.push(Want::Refund);
        }
        let asks_after_it = named && words.iter().any(|word| ASKS_AFTER_AN_ORDER.contains(&word.as_str()));
        if (signals::order_status(words) || asks_after_it) && wants.is_empty() && (named || !asks_how) {
            wants.push(Want::OrderStatus);
        }
        if !asks_how {
            if signals::reminder(words) {
                wants.push(Want::Reminder);
            }
            if signals::billing_date(words) && signals::change(words) {
                wants.push(Want::BillingDate);
            }
            if signals::resume(words) {
                wants.push(Want::Resume);
            } else if signals::pause(words) {
                wants.push(Want::Pause);
            }
            if let Some(plan) = self.named_plan() {
                wants.push(Want::Plan(plan));
            }
            if let Some(seats) = figures::seats(&self.about)
                && !wants.iter().any(|want| matches!(want, Want::Refund | Want::Duplicate | Want::OrderStatus))
            {
                wants.push(Want::Seats(seats));
            }
        }
        if signals::account(words) && !wants.iter().any(|want| matches!(want, Want::Refund | Want::Duplicate)) {
            wants.push(Want::Account);
        }
        if wants.is_empty() && signals::only_thanks(&own_words, &self.own, 30) {
            wants.push(Want::Thanks);
        }
        if wants.is_empty() {
            let substance = text::content_words(&self.about).len();
            let asks = signals::how_to(words, &self.about);
            wants.push(if substance >= 3 || (asks && substance >= 1) { Want::HowTo } else { Want::Unclear });
        }
        wants
    }

    /// Rows of a list in a record: empty when absent.
    pub fn rows<'v>(value: &'v Value, key: &str) -> &'v [Value] {
        value[key].as_array().map_or(&[], Vec::as_slice)
    }

    /// The subscriptions that run or rest.
    pub fn subscriptions(&self) -> Vec<&Value> {
        Self::rows(&self.customer, "subscriptions")
            .iter()
            .filter(|s| !matches!(s["status"].as_str(), Some("canceled" | "cancelled" | "incomplete_expired")))
            .collect()
    }

    /// The subscription that is meant; `Err` when several could be.
    pub fn subscription(&self) -> Result<&Value, bool> {
        let all = self.subscriptions();
        match all.as_slice() {
            [] => Err(false),
            [one] => Ok(one),
            several => {
                let named = |s: &&&Value| {
                    let id = s["id"].as_str().unwrap_or("");
                    let plan = folded_words(s["plan_name"].as_str().unwrap_or(""));
                    (!id.is_empty() && self.about.contains(id))
                        || (!plan.is_empty() && text::matches(&self.words, &plan.join(" ")))
                };
                let mut fitting = several.iter().filter(named);
                match (fitting.next(), fitting.next()) {
                    (Some(one), None) => Ok(one),
                    _ => Err(true),
                }
            }
        }
    }

    /// The plan that the customer wants to move to.
    fn named_plan(&self) -> Option<String> {
        if !signals::change(&self.words) {
            return None;
        }
        let plans = Self::rows(&self.customer, "plans");
        let current: Vec<&str> = self.subscriptions().iter().filter_map(|s| s["plan"].as_str()).collect();
        const BEFORE: &[&str] = &[
            "to", "auf", "in", "a", "au", "al", "ao", "para", "zu", "zum", "vers", "onto", "the", "plano", "plan",
            "formule", "tarif", "von", "el", "la", "o", "den",
        ];
        const AFTER: &[&str] =
            &["plan", "tarif", "formule", "subscription", "abo", "abonnement", "yearly", "annual", "monthly"];
        const YEARLY: &[&str] = &[
            "yearly",
            "annual",
            "annually",
            "jahrlich",
            "jahresabo",
            "jahrliche",
            "annuel",
            "annuelle",
            "anual",
            "anualmente",
        ];
        let yearly = text::any(&self.words, YEARLY);
        let mut best: Option<(usize, String)> = None;
        for plan in plans {
            let id = plan["id"].as_str().unwrap_or("");
            let name = folded_words(plan["name"].as_str().unwrap_or(""));
            if name.is_empty() || current.contains(&id) {
                continue;
            }
            let year = plan["interval"].as_str().is_some_and(|i| i.starts_with("year") || i == "annual");
            // A yearly plan may be named by its first word and `yearly` somewhere.
            let short = [name[0].clone()];
            let shapes: &[&[String]] = if year && yearly { &[&name, &short] } else { &[&name] };
            for shape in shapes {
                let at = self.words.windows(shape.len()).position(|w| w == *shape);
                let Some(at) = at else { continue };
                let before =
                    at.checked_sub(1).and_then(|n| self.words.get(n)).is_some_and(|w| BEFORE.contains(&w.as_str()));
                let after = self.words.get(at + shape.len()).is_some_and(|w| AFTER.contains(&w.as_str()));
                let weight = name.len() * 2 + usize::from(year == yearly);
                if (before || after || shape.len() > 1) && best.as_ref().is_none_or(|(most, _)| weight > *most) {
                    best = Some((weight, id.to_owned()));
                }
            }
        }
        // `From team to business` names the current plan too; that one was left out above.
        best.map(|(_, id)| id)
    }

    /// Results of a tool in this run, oldest first, without those that the customer's next message overtook.
    pub fn used(&self, tool: &'a str) -> impl DoubleEndedIterator<Item = &'a Used> + '_ {
        self.talk.results().filter(move |used| used.tool == tool && !overtaken(used))
    }

    /// Rows of a list over all good results of `get_order_status`, each id once.
    pub fn records(&self, key: &'static str) -> Vec<&'a Value> {
        let mut rows: Vec<&Value> = Vec::new();
        for used in self.used("get_order_status").filter(|used| !used.error) {
            for row in Self::rows(&used.value, key) {
                match rows.iter_mut().find(|known| known["id"] == row["id"]) {
                    Some(known) => *known = row,
                    None => rows.push(row),
                }
            }
        }
        rows
    }
}

/// How something is done is asked, not that it be done.
fn asks_how(words: &[String]) -> bool {
    const PATTERNS: &[&str] = &[
        "how do i",
        "how do we",
        "how can i",
        "how can we",
        "how to",
        "how does",
        "where do i",
        "where can i",
        "where do we",
        "what is your .. policy",
        "can clients",
        "can i use",
        "is there a way",
        "wie kann ich",
        "wie konnen wir",
        "wie mache ich",
        "wie .. man",
        "wo kann ich",
        "wo finde ich",
        "comment puis je",
        "comment faire",
        "comment peut on",
        "ou puis je",
        "como puedo",
        "como podemos",
        "como se",
        "donde puedo",
        "como posso",
        "como faco",
        "como podemos",
        "onde posso",
    ];
    text::any(words, PATTERNS)
}

/// The customer's new messages, when the agent passes them on in the middle of a run.
fn news(said: &str) -> Option<String> {
    let at = said.find('{')?;
    let value: Value = serde_json::Deserializer::from_str(&said[at..]).into_iter().next()?.ok()?;
    let texts: Vec<&str> = value["customer_wrote_again"]
        .as_array()?
        .iter()
        .filter(|message| message["from"] == "customer")
        .filter_map(|message| message["text"].as_str())
        .collect();
    Some(texts.join("\n"))
}

/// The first ISO date of a text.
fn today(text: &str) -> Option<Date> {
    text.char_indices().filter_map(|(at, _)| text.get(at..at + 10)).find_map(|part| part.parse().ok())
}
