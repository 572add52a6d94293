//! The team's own billing API, "Billing API v1": customers, orders, subscriptions, entitlements, and one write: an action on a
//! subscription under our key. The shapes on the wire are `wire.rs`; the contract stands in the README.

mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::{Acting, Error, Http, Kind, Reply, Sent, Transport, encode, safe_text};
use crate::account::{Customer, Order, Plan, Subscription};
use crate::clock::Clock;
use crate::ids::{CustomerId, IdempotencyKey, OrderId, StripeCustomerId, SubscriptionId};
use crate::intent::UpdateSubscription;
use crate::money::Money;

const VENDOR: &str = "billing";

/// The code of a write that came too late: the record has another version now.
pub const VERSION_CONFLICT: &str = "version_conflict";
/// The code of an action that the API accepted and then failed to do.
pub const OPERATION_FAILED: &str = "operation_failed";

/// What the client needs to know.
#[derive(Clone)]
pub struct Settings {
    /// Where `/v1/customers` hangs below.
    pub base_url: String,
    /// Sent as a bearer token.
    pub token: SecretString,
    /// Signs the writes, where the API asks for it.
    pub signing_secret: Option<SecretString>,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for a whole answer.
    pub timeout: Duration,
    /// How requests leave the machine.
    pub transport: Transport,
}

impl Settings {
    /// Unsigned, 5 s to connect, 10 s for an answer.
    pub fn new(base_url: impl Into<String>, token: SecretString) -> Self {
        Self {
            base_url: base_url.into(),
            token,
            signing_secret: None,
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            transport: Transport::default(),
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let signed = self.signing_secret.is_some();
        f.debug_struct("Settings").field("base_url", &self.base_url).field("signed", &signed).finish_non_exhaustive()
    }
}

/// What the API can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// `customers`, `orders`, `subscriptions`, `entitlements`, `subscription_actions` and others.
    pub features: Vec<String>,
    /// Requests per second that it bears.
    pub rps: Option<u64>,
}

/// How far a write has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationState {
    /// Done.
    Succeeded,
    /// Accepted, not done yet: look again with [`Billing::operation`].
    Pending,
    /// Not done, and it will not be.
    Failed,
}

/// A write that the API knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its id at the API.
    pub id: String,
    /// How far it has come.
    pub state: OperationState,
    /// What is charged now because of it.
    pub charge_now: Option<Money>,
    /// What is credited because of it.
    pub credit: Option<Money>,
    /// The subscription after it, where the API sent it along.
    pub subscription: Option<Subscription>,
    /// The answer is the stored one of an earlier attempt.
    pub replayed: bool,
}

/// The billing API.
pub struct Billing {
    http: Http,
    settings: Settings,
    clock: Clock,
}

impl std::fmt::Debug for Billing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Billing").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Billing {
    /// Checks the settings; sends nothing yet.
    pub fn new(settings: Settings, clock: Clock) -> Result<Self, Error> {
        let (connect, total) = (settings.connect_timeout, Some(settings.timeout));
        let http = Http::new(VENDOR, &settings.base_url, &settings.transport, connect, total)?;
        Ok(Self { http, settings, clock })
    }

    /// The customers of an address, letters compared without case.
    pub async fn customers_by_email(&self, address: &str) -> Result<Vec<Customer>, Error> {
        self.customers("email", address.trim()).await
    }

    /// The customers of an id that the team keeps at the helpdesk.
    pub async fn customers_by_external_id(&self, external_id: &str) -> Result<Vec<Customer>, Error> {
        self.customers("external_id", external_id).await
    }

    /// The customers of a Stripe customer.
    pub async fn customers_by_stripe_id(&self, id: &StripeCustomerId) -> Result<Vec<Customer>, Error> {
        self.customers("stripe_customer_id", id.as_str()).await
    }

    async fn customers(&self, by: &str, value: &str) -> Result<Vec<Customer>, Error> {
        let page: wire::Page<wire::Customer> = self.get(&format!("/v1/customers?{by}={}", encode(value))).await?;
        Ok(page.data.into_iter().map(wire::Customer::into_words).collect())
    }

    /// One customer.
    pub async fn customer(&self, id: &CustomerId) -> Result<Option<Customer>, Error> {
        let found: Option<wire::Customer> = self.find(&format!("/v1/customers/{}", encode(id.as_str()))).await?;
        Ok(found.map(wire::Customer::into_words))
    }

    /// A customer's latest orders, newest first, at most `limit` (up to 100).
    pub async fn orders(&self, customer: &CustomerId, limit: u32) -> Result<Vec<Order>, Error> {
        let limit = limit.clamp(1, 100);
        let path = format!("/v1/customers/{}/orders?limit={limit}", encode(customer.as_str()));
        let page: wire::Page<wire::Order> = self.get(&path).await?;
        let mut orders = page.data.into_iter().map(wire::Order::into_words).collect::<Result<Vec<_>, _>>()?;
        orders.sort_by(|a, b| b.placed_at.cmp(&a.placed_at).then_with(|| a.id.cmp(&b.id)));
        Ok(orders)
    }

    /// One order by its id or its printed number, if it is this customer's.
    pub async fn order(&self, customer: &CustomerId, id_or_number: &OrderId) -> Result<Option<Order>, Error> {
        let wanted = id_or_number.as_str().trim().trim_start_matches('#');
        if wanted.is_empty() {
            return Ok(None);
        }
        let owner = encode(customer.as_str());
        let by_id: Option<wire::Order> = self.find(&format!("/v1/orders/{}", encode(wanted))).await?;
        if let Some(order) = by_id {
            return if order.customer_id.as_deref() == Some(customer.as_str()) {
                order.into_words().map(Some)
            } else {
                Ok(None)
            };
        }
        let path = format!("/v1/customers/{owner}/orders?number={}&limit=5", encode(wanted));
        let page: wire::Page<wire::Order> = self.get(&path).await?;
        // An API that ignores the filter sends all orders: compare.
        let same = |order: &wire::Order| {
            order.number.as_deref().is_some_and(|n| n.trim_start_matches('#').eq_ignore_ascii_case(wanted))
        };
        let stranger = |order: &wire::Order| order.customer_id.as_deref().is_some_and(|id| id != customer.as_str());
        let found = page.data.into_iter().find(|order| same(order) && !stranger(order));
        found.map(wire::Order::into_words).transpose()
    }

    /// A customer's subscriptions.
    pub async fn subscriptions(&self, customer: &CustomerId) -> Result<Vec<Subscription>, Error> {
        let path = format!("/v1/customers/{}/subscriptions", encode(customer.as_str()));
        let page: Option<wire::Page<wire::Subscription>> = self.find(&path).await?;
        page.map_or(Ok(Vec::new()), |page| page.data.into_iter().map(wire::Subscription::into_words).collect())
    }

    /// One subscription with its version, and whose it is.
    pub async fn subscription(&self, id: &SubscriptionId) -> Result<Option<(Subscription, Option<CustomerId>)>, Error> {
        let found: Option<wire::Subscription> =
            self.find(&format!("/v1/subscriptions/{}", encode(id.as_str()))).await?;
        let Some(found) = found else { return Ok(None) };
        let owner = found.customer_id.clone().map(CustomerId::new);
        Ok(Some((found.into_words()?, owner)))
    }

    /// What a customer is entitled to, by name: free facts for the model.
    pub async fn entitlements(&self, customer: &CustomerId) -> Result<BTreeMap<String, Value>, Error> {
        let path = format!("/v1/customers/{}/entitlements", encode(customer.as_str()));
        let found: Option<wire::Entitlements> = self.find(&path).await?;
        Ok(found.map(wire::Entitlements::into_facts).unwrap_or_default())
    }

    /// What the API can do; `None` when it does not say.
    pub async fn capabilities(&self) -> Result<Option<Capabilities>, Error> {
        let found: Option<Value> = self.find("/v1/capabilities").await?;
        Ok(found.map(|said| Capabilities {
            features: said["features"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|f| f.as_str().map(str::to_owned))
                .collect(),
            rps: said["limits"]["rps"].as_u64(),
        }))
    }

    /// The plans on offer; none when the API does not list them.
    pub async fn plans(&self) -> Result<Vec<Plan>, Error> {
        let page: Option<wire::Page<wire::Plan>> = self.find("/v1/plans").await?;
        page.map_or(Ok(Vec::new()), |page| page.data.into_iter().map(wire::Plan::into_words).collect())
    }

    /// Changes a subscription, once per key. `version` guards the write: with another version now it is refused with
    /// [`VERSION_CONFLICT`]. After a lost answer ask [`Billing::operation`]: a key that it never saw is safe to send again.
    pub async fn act(
        &self,
        acting: &Acting,
        key: &IdempotencyKey,
        version: Option<&str>,
        change: &UpdateSubscription,
    ) -> Result<Operation, Error> {
        let path = format!("/v1/subscriptions/{}/actions", encode(change.subscription.as_str()));
        let body = action(change, ticket_of(key))?;
        let mut request = self
            .request(Method::POST, &path)
            .header("content-type", "application/json")
            .header("idempotency-key", key.as_str())
            .header("x-request-id", key.as_str())
            .header("x-actor", "agent");
        if let Some((run, ticket)) = origin_of(key) {
            request = request.header("x-agent-run", run).header("x-ticket-id", ticket);
        }
        if let Some(version) = version {
            request = request.header("if-match", format!("\"{version}\""));
        }
        if let Some(secret) = &self.settings.signing_secret {
            request = request.header("x-signature", self.signature(secret, "POST", &path, &body));
        }
        let reply = self.http.send(request.body(body), Sent::Effect(acting)).await?;
        if !reply.is_success() {
            return Err(self.refusal(&reply, Kind::Effect));
        }
        let answer: wire::OperationAnswer = serde_json::from_slice(&reply.body)
            .map_err(|_| Error::unknown(VENDOR, "the answer to a write was not understood"))?;
        let operation =
            answer.into_words().map_err(|_| Error::unknown(VENDOR, "the answer to a write was not understood"))?;
        match operation.state {
            OperationState::Failed => Err(Error::refused(
                VENDOR,
                Some(reply.status),
                Some(OPERATION_FAILED),
                "the change was accepted and then not done",
            )),
            _ => Ok(operation),
        }
    }

    /// What became of a write: `None` means that the API never saw the key, so it is safe to send.
    pub async fn operation(&self, key: &IdempotencyKey) -> Result<Option<Operation>, Error> {
        let found: Option<wire::OperationAnswer> =
            self.find(&format!("/v1/operations/{}", encode(key.as_str()))).await?;
        found.map(wire::OperationAnswer::into_words).transpose()
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, path)
            .bearer_auth(self.settings.token.expose_secret())
            .header("accept", "application/json, application/problem+json")
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let reply = self.http.send(self.request(Method::GET, path), Sent::Read).await?;
        if !reply.is_success() {
            return Err(self.refusal(&reply, Kind::Read));
        }
        serde_json::from_slice(&reply.body).map_err(|e| {
            Error::refused(
                VENDOR,
                Some(reply.status),
                Some("bad_answer"),
                format!(
                    "an answer is not in the contract's form (line {}, column {})\nhint: check the API's version",
                    e.line(),
                    e.column()
                ),
            )
        })
    }

    /// The same, with 404 as `None`.
    async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::Refused { status: Some(404), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `t=<unix>,v1=<hex>` over time, method, path with query, and the body's digest.
    fn signature(&self, secret: &SecretString, method: &str, path: &str, body: &str) -> String {
        let whole = format!("{}{path}", self.http.base);
        let target =
            whole.find("://").and_then(|i| whole[i + 3..].find('/').map(|j| &whole[i + 3 + j..])).unwrap_or(path);
        let at = self.clock.now().as_second();
        sign(secret, at, method, target, body)
    }

    /// What an answer outside 2xx means.
    fn refusal(&self, reply: &Reply, kind: Kind) -> Error {
        let status = reply.status;
        let said: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        let code = said["code"].as_str();
        let mut reason = match code {
            Some(code) => format!("`{}` (status {status}", safe_text(code)),
            None => format!("(status {status}"),
        };
        if let Some(id) = said["request_id"].as_str().or(reply.header("x-request-id")) {
            reason += &format!(", request {}", safe_text(id));
        }
        reason.push(')');
        // By the contract, `detail` is safe for logs.
        if let Some(detail) = said["detail"].as_str() {
            reason += &format!(": {}", safe_text(detail));
        }
        if let Some(field) = said["field"].as_str() {
            reason += &format!(" at `{}`", safe_text(field));
        }
        let after = reply.retry_after(self.clock.now());
        match status {
            429 => Error::retry(VENDOR, after, reason),
            // Somebody is at work under this key, or was with other arguments: an earlier attempt exists.
            409 if kind == Kind::Effect && code == Some("operation_in_progress") => {
                Error::unsure(VENDOR, after, reason)
            }
            422 if kind == Kind::Effect && code == Some("idempotency_mismatch") => Error::unsure(VENDOR, after, reason),
            408 | 425 | 500..=599 => match kind {
                Kind::Read => Error::retry(VENDOR, after, reason),
                Kind::Effect => Error::unsure(VENDOR, after, reason),
            },
            412 => Error::refused(VENDOR, Some(412), Some(VERSION_CONFLICT), reason),
            401 | 403 => {
                Error::refused(VENDOR, Some(status), code, format!("{reason}\nhint: check the billing API's token"))
            }
            _ if said["retryable"] == Value::Bool(true) => Error::retry(VENDOR, after, reason),
            _ => Error::refused(VENDOR, Some(status), code, reason),
        }
    }
}

fn sign(secret: &SecretString, at: i64, method: &str, target: &str, body: &str) -> String {
    let digest = hex(&Sha256::digest(body.as_bytes()));
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("HMAC takes a key of any length");
    mac.update(format!("{at}.{method}.{target}.{digest}").as_bytes());
    format!("t={at},v1={}", hex(&mac.finalize().into_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The run and the ticket that a key was derived from.
fn origin_of(key: &IdempotencyKey) -> Option<(String, String)> {
    let mut parts = key.as_str().strip_prefix("eff_")?.split('_');
    let (ticket, comment) = (parts.next()?, parts.next()?);
    Some((format!("run_{ticket}_{comment}"), ticket.to_owned()))
}

fn ticket_of(key: &IdempotencyKey) -> String {
    origin_of(key).map_or_else(|| "agent".to_owned(), |(_, ticket)| format!("ticket {ticket}"))
}

/// The bytes of a write; the same for the same change, because the API compares them with the first attempt's.
fn action(change: &UpdateSubscription, note: String) -> Result<String, Error> {
    let mut params = Map::new();
    let name = if let Some(plan) = &change.plan {
        params.insert("plan_code".into(), plan.as_str().into());
        params.insert("proration".into(), "next_invoice".into());
        params.insert("effective".into(), "now".into());
        "change_plan"
    } else if let Some(quantity) = change.quantity {
        params.insert("quantity".into(), quantity.into());
        params.insert("proration".into(), "next_invoice".into());
        params.insert("effective".into(), "now".into());
        "set_quantity"
    } else if let Some(paused) = change.paused {
        if let (true, Some(day)) = (paused, change.resumes_on) {
            params.insert("resumes_at".into(), format!("{day}T00:00:00Z").into());
        }
        if paused { "pause" } else { "resume" }
    } else if let Some(day) = change.billing_date {
        params.insert("date".into(), day.to_string().into());
        "set_billing_date"
    } else {
        return Err(Error::refused(VENDOR, None, Some("nothing_to_do"), "the change names nothing to change"));
    };
    Ok(json!({"action": name, "params": params, "reason": "customer_request", "note": note, "dry_run": false})
        .to_string())
}

#[cfg(test)]
mod tests;
