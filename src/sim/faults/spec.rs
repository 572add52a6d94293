//! The words of a specification: parsing and printing, and what is said of a wrong one.

use std::fmt;
use std::str::FromStr;

use super::catalog::{self, Known, VENDORS};
use super::{BadFaults, Faults, How, Rule, Who};
use crate::sim::world_file::nearest;

const FORM: &str =
    "write vendor.name=how, such as zendesk.lost_after=0.05, stripe.500=2x or stripe.lost_after/POST/refunds=1x";
const METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "PATCH"];

impl FromStr for Faults {
    type Err = BadFaults;

    fn from_str(spec: &str) -> Result<Self, BadFaults> {
        let parts = spec.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty() && *part != "none");
        parts.map(rule).collect::<Result<_, _>>().map(|rules| Self { rules })
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, rule) in self.rules.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{rule}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.vendor, self.known.name)?;
        if let Some(number) = self.number {
            write!(f, ":{number}")?;
        }
        match self.who {
            None => {}
            Some(Who::Router) => write!(f, "@router")?,
            Some(Who::Agent) => write!(f, "@agent")?,
            Some(Who::Ticket(ticket)) => write!(f, "@{ticket}")?,
        }
        if let Some(method) = &self.method {
            write!(f, "/{method}")?;
        }
        if let Some(path) = &self.path {
            write!(f, "/{path}")?;
        }
        match self.how {
            How::Rate(rate) => write!(f, "={rate}"),
            How::Times { pass: 0, times } => write!(f, "={times}x"),
            How::Times { pass, times } => write!(f, "={pass}+{times}x"),
        }
    }
}

/// One part of a specification: `vendor.name[:number][@who][/METHOD][/path]=how`.
fn rule(part: &str) -> Result<Rule, BadFaults> {
    let bad = |why: String, hint: String| BadFaults { part: part.to_owned(), why, hint };
    let (what, how) = part.rsplit_once('=').ok_or_else(|| bad("it has no `=`".into(), FORM.into()))?;
    let (head, filter) = match what.split_once('/') {
        Some((head, filter)) => (head, Some(filter)),
        None => (what, None),
    };
    let (vendor, name) = head.split_once('.').ok_or_else(|| bad("it names no vendor".into(), FORM.into()))?;
    let (name, who) = match name.split_once('@') {
        Some((name, who)) => (name, Some(who)),
        None => (name, None),
    };
    let (name, number) = match name.split_once(':') {
        Some((name, number)) => (name, Some(number)),
        None => (name, None),
    };
    let vendor = vendor_named(vendor).map_err(|(why, hint)| bad(why, hint))?;
    let known = fault_named(vendor, name).map_err(|(why, hint)| bad(why, hint))?;
    let number = number_of(known, number).map_err(|(why, hint)| bad(why, hint))?;
    let who = who_of(vendor, who).map_err(|(why, hint)| bad(why, hint))?;
    let (method, path) = filter_of(filter).map_err(|(why, hint)| bad(why, hint))?;
    if path.is_some() && matches!(vendor, "smtp" | "clock") {
        return Err(bad(format!("{vendor} has no paths"), "leave out what stands after `/`".into()));
    }
    let how = how_of(how).ok_or_else(|| {
        let hint = "write a rate from 0 to 1 (0.05), a number of times (2x), or that after some passed (3+2x)";
        bad(format!("`{how}` says not how often"), hint.into())
    })?;
    Ok(Rule { vendor, known, number, who, method, path, how, asked: 0, struck: 0 })
}

/// What is wrong, and what to write instead.
type Wrong = (String, String);

fn vendor_named(vendor: &str) -> Result<&'static str, Wrong> {
    VENDORS.iter().copied().find(|known| *known == vendor).ok_or_else(|| {
        let near = nearest(vendor, VENDORS.iter().copied()).map(|near| format!("did you mean `{near}`? "));
        let hint = format!("{}vendors are {}\n{}", near.unwrap_or_default(), VENDORS.join(", "), catalog::help());
        (format!("no vendor `{vendor}`"), hint)
    })
}

fn fault_named(vendor: &'static str, name: &str) -> Result<&'static Known, Wrong> {
    let names = catalog::of(vendor).map(|known| known.name);
    catalog::of(vendor).find(|known| known.name == name).ok_or_else(|| {
        let near = nearest(name, names.clone()).map(|near| format!("did you mean `{near}`? "));
        let list: String =
            catalog::of(vendor).map(|known| format!("\n  {:<20} {}", known.name, catalog::described(known))).collect();
        let hint = format!("{}faults of {vendor} are:{list}", near.unwrap_or_default());
        (format!("{vendor} has no fault `{name}`"), hint)
    })
}

fn number_of(known: &Known, text: Option<&str>) -> Result<Option<i64>, Wrong> {
    let Some(text) = text else { return Ok(None) };
    if known.number.is_none() {
        return Err((format!("`{}` takes no number", known.name), format!("leave out `:{text}`")));
    }
    let signed = known.name == "jump";
    let number = text.parse::<i64>().ok().filter(|number| signed || *number >= 0);
    number.map(Some).ok_or_else(|| (format!("`{text}` is no whole number"), "after `:` stands a number".into()))
}

fn who_of(vendor: &str, who: Option<&str>) -> Result<Option<Who>, Wrong> {
    let Some(who) = who else { return Ok(None) };
    if vendor != "claude" {
        let hint = "only claude knows who asks; write a path for the others: zendesk.500/PUT/tickets/7=1x";
        return Err((format!("{vendor} takes no `@{who}`"), hint.into()));
    }
    match who {
        "router" => Ok(Some(Who::Router)),
        "agent" => Ok(Some(Who::Agent)),
        ticket => match ticket.parse() {
            Ok(ticket) => Ok(Some(Who::Ticket(ticket))),
            Err(_) => Err((format!("nobody is called `{who}`"), "after `@` stands router, agent or a ticket".into())),
        },
    }
}

/// `METHOD`, `METHOD/path` or `path`.
fn filter_of(filter: Option<&str>) -> Result<(Option<String>, Option<String>), Wrong> {
    let Some(filter) = filter else { return Ok((None, None)) };
    let (first, rest) = match filter.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (filter, None),
    };
    let upper = first.to_ascii_uppercase();
    let named = METHODS.contains(&upper.as_str());
    let (method, path) = if named { (Some(upper.clone()), rest) } else { (None, Some(filter)) };
    let path = path.map(|path| path.trim_matches('/')).filter(|path| !path.is_empty());
    if !named && first == upper && first.chars().all(|c| c.is_ascii_alphabetic()) {
        let hint = "after `/` stands GET, POST, PUT, PATCH or DELETE, then a path: zendesk.500/PUT/tickets=1x";
        return Err((format!("`{first}` is no method"), hint.into()));
    }
    Ok((method, path.map(str::to_owned)))
}

fn how_of(how: &str) -> Option<How> {
    match how.strip_suffix('x') {
        Some(times) => {
            let (pass, times) = times.split_once('+').unwrap_or(("0", times));
            Some(How::Times { pass: pass.parse().ok()?, times: times.parse().ok()? })
        }
        None => how.parse::<f64>().ok().filter(|rate| (0.0..=1.0).contains(rate)).map(How::Rate),
    }
}
