//! `deskhand pause` and `deskhand resume`: pull and loosen the brakes from the command line, whether a process serves or not.
//! One that serves looks at them within two seconds.

use std::path::Path;

use crate::clock::Clock;
use crate::journal::brake::{self, Brake, COMMAND_LINE as BY, Pulled};
use crate::journal::sqlite::SqliteJournal;
use crate::journal::{self, Journal};

/// Pulls a brake and says what holds now.
pub async fn pause(folder: &Path, brake: Brake, reason: &str) -> Result<String, journal::Error> {
    let journal = SqliteJournal::open_beside(folder)?;
    let said = pull(&journal, brake, reason).await;
    journal.close().await;
    said
}

async fn pull(journal: &dyn Journal, brake: Brake, reason: &str) -> Result<String, journal::Error> {
    let before = brake::pull(journal, brake, reason, BY, Clock::system().now_ms()).await?;
    let holds = brake::pulled(journal).await?;
    let stronger = holds.filter(|holds| holds.brake > brake);
    let words = match brake {
        Brake::Draining => "draining: no new ticket is taken in, the open runs go on to their end",
        Brake::Paused => "paused: new tickets are read, no step starts; steps in flight end and are taken down",
        Brake::Stopped => {
            "stopped: nothing is read and nothing is done; steps in flight are dropped and looked for later"
        }
    };
    let mut said = match &stronger {
        // What the weaker one would do is not what happens.
        Some(Pulled { brake: holds, by, reason, .. }) => format!(
            "the agent stays {}, by {by} ({reason}): that is stronger than {}, which is noted beside it.\n",
            holds.as_str(),
            brake.as_str()
        ),
        None => format!("{words}.\n"),
    };
    if let Some(Pulled { by, reason, .. }) = &before {
        said.push_str(&format!("It was {} before, by {by} ({reason}); that reason stays.\n", brake.as_str()));
    }
    said.push_str("Nothing is lost. `deskhand resume` lets it go on.");
    Ok(said)
}

/// Loosens every brake and says which were pulled.
pub async fn resume(folder: &Path) -> Result<String, journal::Error> {
    let journal = SqliteJournal::open_beside(folder)?;
    let loosened = brake::resume(&journal, BY, Clock::system().now_ms()).await;
    journal.close().await;
    let names: Vec<&str> = loosened?.into_iter().map(Brake::as_str).collect();
    Ok(match names.as_slice() {
        [] => "there was no brake to loosen; the agent runs when a process serves.".to_owned(),
        names => format!("no longer {}: runs go on where they stopped, nothing is done twice.", names.join(", ")),
    })
}
