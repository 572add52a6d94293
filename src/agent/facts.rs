//! Who the requester is, and what the vendors' records say of them: gathered by code, never by the model.

use std::collections::BTreeSet;

use crate::account::{AccountRead, AccountStatus, Customer};
use crate::clients::{self, stripe::StripeCustomer};
use crate::ids::CustomerId;
use crate::ticket::Ticket;
use crate::tools::Tools;

/// How many of an account's orders are read.
const ORDERS_MAX: u32 = 50;

/// Reads a requester's account and records.
pub async fn read(tools: &Tools, ticket: &Ticket) -> Result<AccountRead, clients::Error> {
    let mut account = AccountRead { earlier: earlier(tools, ticket).await?, ..AccountRead::default() };
    let Some(address) = &ticket.requester.address else {
        return Ok(account); // Nobody is recognised by a name.
    };
    let (billing, stripe) = match &tools.billing {
        Some(billing) => {
            tokio::try_join!(billing.customers_by_email(address), tools.stripe.customers_by_email(address))?
        }
        None => (Vec::new(), tools.stripe.customers_by_email(address).await?),
    };
    match_accounts(&mut account, billing, stripe, tools.billing.is_some());
    let Some(customer) = account.customer().cloned() else {
        return Ok(account);
    };
    account.strangers_in_copy = strangers(tools, ticket, &customer).await?;
    let payments = async {
        match &customer.stripe {
            Some(id) => tools.stripe.payments(id).await,
            None => Ok(Vec::new()),
        }
    };
    if let Some(billing) =
        tools.billing.as_ref().filter(|_| customer.stripe.as_ref().is_none_or(|id| id.as_str() != customer.id.as_str()))
    {
        let (orders, subscriptions, plans, facts, payments) = tokio::try_join!(
            billing.orders(&customer.id, ORDERS_MAX),
            billing.subscriptions(&customer.id),
            billing.plans(),
            billing.entitlements(&customer.id),
            payments,
        )?;
        account.orders = orders;
        account.subscriptions = subscriptions;
        account.plans = plans;
        account.payments = payments;
        if let Some(one) = account.customers.first_mut() {
            one.facts = facts;
        }
    } else {
        account.payments = payments.await?;
    }
    link_orders(&mut account);
    Ok(account)
}

async fn earlier(tools: &Tools, ticket: &Ticket) -> Result<Vec<crate::ticket::EarlierTicket>, clients::Error> {
    let all = tools.zendesk.requested_by(ticket.requester.id).await?;
    Ok(all.into_iter().filter(|earlier| earlier.id != ticket.id).take(10).collect())
}

/// Brings the accounts of both systems together: a Stripe customer that a billing account names is the same one.
fn match_accounts(
    account: &mut AccountRead,
    mut billing: Vec<Customer>,
    stripe: Vec<StripeCustomer>,
    has_billing: bool,
) {
    let linked: BTreeSet<&str> = billing.iter().filter_map(|c| c.stripe.as_ref()).map(|id| id.as_str()).collect();
    let unlinked: Vec<&StripeCustomer> = stripe.iter().filter(|c| !linked.contains(c.id.as_str())).collect();
    let mut extra = Vec::new();
    match (billing.as_mut_slice(), unlinked.as_slice()) {
        // The billing account has no link yet; the same address at Stripe is its counterpart.
        ([one], [counterpart]) if one.stripe.is_none() => one.stripe = Some(counterpart.id.clone()),
        (known, others) => {
            if let ([one], [_, ..]) = (&*known, others) {
                account
                    .contradictions
                    .push(format!("Stripe has a customer on this address that account {} does not name", one.id));
            }
            if has_billing && known.is_empty() && !others.is_empty() {
                account
                    .contradictions
                    .push("Stripe knows a customer on this address that the billing API does not".to_owned());
            }
            extra = others.iter().map(|other| stripe_only(other)).collect();
        }
    }
    billing.append(&mut extra);
    account.customers = billing;
}

/// A customer that only Stripe knows.
fn stripe_only(customer: &StripeCustomer) -> Customer {
    Customer {
        id: CustomerId::new(customer.id.as_str()),
        name: customer.name.clone().unwrap_or_default(),
        address: customer.email.clone().unwrap_or_default(),
        status: if customer.delinquent { AccountStatus::Unpaid } else { AccountStatus::Active },
        flags: Vec::new(),
        since: customer.created_at,
        stripe: Some(customer.id.clone()),
        facts: std::collections::BTreeMap::new(),
    }
}

/// Addresses in copy that do not lead to the same account: they would read the answer too.
async fn strangers(tools: &Tools, ticket: &Ticket, customer: &Customer) -> Result<Vec<String>, clients::Error> {
    let mut strangers = Vec::new();
    for address in ticket.cc.iter().filter(|address| Some(*address) != ticket.requester.address.as_ref()) {
        let known = match &tools.billing {
            Some(billing) => billing.customers_by_email(address).await?.iter().any(|c| c.id == customer.id),
            None => false,
        };
        if !known {
            strangers.push(address.clone());
        }
    }
    Ok(strangers)
}

/// Payments name their order where the vendor's metadata does not.
fn link_orders(account: &mut AccountRead) {
    for payment in account.payments.iter_mut().filter(|payment| payment.order.is_none()) {
        let order = account.orders.iter().find(|order| order.payments.contains(&payment.id));
        payment.order = order.map(|order| order.id.clone());
    }
}
