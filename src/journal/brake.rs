//! Brakes: the switches by which people hold the agent back, from a page or the command line. Each says who, when and why, and
//! leaves an audit line. A brake is only loosened by resuming: to pull a weaker one beside a stronger changes nothing.

use crate::journal::{Error, Journal, Switch};

/// The longest reason, in characters.
pub const REASON_MAX: usize = 200;
/// What stands in a switch that was set without a reason: the empty text means off.
const NO_REASON: &str = "No reason was given";

/// Who is named for brakes that the command line pulls.
pub const COMMAND_LINE: &str = "command line";

/// Switches under which no step starts. To be handed to an append that starts one.
pub const NO_STEP_UNDER: &[&str] = &["paused", "stopped"];

/// What is held back; each holds back what the ones before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Brake {
    /// Intake opens no new run; the open ones go on to their end.
    Draining,
    /// Intake goes on; no step starts, those in flight end and are taken down.
    Paused,
    /// The kill switch: nothing goes on, steps in flight are dropped and looked for when their runs go on.
    Stopped,
}

impl Brake {
    /// All, the weakest first.
    pub const ALL: [Brake; 3] = [Brake::Draining, Brake::Paused, Brake::Stopped];

    /// The switch's name, and the word that people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Brake::Draining => "draining",
            Brake::Paused => "paused",
            Brake::Stopped => "stopped",
        }
    }

    /// Back from the switch's name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|brake| brake.as_str() == text)
    }

    /// No step starts under it.
    pub fn holds_steps(self) -> bool {
        self >= Brake::Paused
    }
}

/// A brake that is pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Which.
    pub brake: Brake,
    /// Why, in people's words; never empty.
    pub reason: String,
    /// Who pulled it: a user's address, `command line`, `deskhand`.
    pub by: String,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// The brakes among these switches, the weakest first.
pub fn all(switches: Vec<Switch>) -> Vec<Pulled> {
    let brakes = switches.into_iter().filter_map(|switch| {
        let Switch { name, value: reason, by, at_ms } = switch;
        Some(Pulled { brake: Brake::parse(&name)?, reason, by, at_ms })
    });
    let mut brakes: Vec<Pulled> = brakes.collect();
    brakes.sort_by_key(|pulled| pulled.brake);
    brakes
}

/// The strongest brake among these switches.
pub fn strongest(switches: Vec<Switch>) -> Option<Pulled> {
    all(switches).pop()
}

/// The strongest brake that is pulled now.
pub async fn pulled(journal: &dyn Journal) -> Result<Option<Pulled>, Error> {
    Ok(strongest(journal.switches().await?))
}

/// Pulls a brake. When it returns, no step starts that the brake holds back. One that is pulled already stays as it is, and
/// comes back with who pulled it and why: the first reason is the one that people must know before they resume. Each later
/// one stands in the audit trail.
pub async fn pull(
    journal: &dyn Journal,
    brake: Brake,
    reason: &str,
    by: &str,
    now_ms: i64,
) -> Result<Option<Pulled>, Error> {
    let cut: String = reason.trim().chars().take(REASON_MAX).collect();
    let value = if cut.is_empty() { NO_REASON } else { cut.as_str() };
    // Looked at and set in one commit: between a look and a write somebody could resume, and the brake would be lost.
    let before = journal.switch_on(brake.as_str(), value, by, now_ms).await?;
    Ok(before.map(|Switch { value: reason, by, at_ms, .. }| Pulled { brake, reason, by, at_ms }))
}

/// Loosens every brake and says which were pulled.
pub async fn resume(journal: &dyn Journal, by: &str, now_ms: i64) -> Result<Vec<Brake>, Error> {
    let mut loosened = Vec::new();
    // The strongest last: until it is loosened nothing moves.
    for brake in Brake::ALL {
        if journal.switches().await?.iter().any(|switch| switch.name == brake.as_str()) {
            journal.set_switch(brake.as_str(), "", by, now_ms).await?;
            loosened.push(brake);
        }
    }
    Ok(loosened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strongest_brake_holds() {
        let check = |names: &[&str], expected: Option<Brake>| {
            let switch =
                |name: &&str| Switch { name: (*name).to_owned(), value: "x".to_owned(), by: "y".to_owned(), at_ms: 1 };
            assert_eq!(strongest(names.iter().map(switch).collect()).map(|pulled| pulled.brake), expected, "{names:?}");
        };
        check(&[], None);
        check(&["retention"], None);
        check(&["draining"], Some(Brake::Draining));
        check(&["paused", "draining"], Some(Brake::Paused));
        check(&["stopped", "paused"], Some(Brake::Stopped));
    }

    #[test]
    fn what_holds_steps_is_what_appends_are_told() {
        let held: Vec<&str> = Brake::ALL.into_iter().filter(|brake| brake.holds_steps()).map(Brake::as_str).collect();
        assert_eq!(held, NO_STEP_UNDER);
    }
}
