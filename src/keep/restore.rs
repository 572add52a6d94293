//! `deskhand restore`: puts a backup in the place of the journal, and says first what is lost by it.

use std::path::Path;

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::journal;
use crate::journal::sqlite::backup::{self, PutBack};
use crate::keep::backup::holds_json;
use crate::keep::{count, entries, stamp, when};

/// What was done, or with `--dry-run` would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Nothing was changed.
    pub dry: bool,
    /// The file's words.
    pub put_back: PutBack,
}

/// Puts a backup back. [`journal::Error::InUse`] while a process has the folder.
pub async fn run(file: &Path, data: &Path, dry: bool, clock: &Clock) -> Result<Restored, journal::Error> {
    let (file, data, now) = (file.to_owned(), data.to_owned(), clock.now());
    let done =
        tokio::task::spawn_blocking(move || backup::put_back(&file, &data, now.as_millisecond(), &stamp(now), dry));
    let put_back = done.await.unwrap_or_else(|broke| std::panic::resume_unwind(broke.into_panic()))?;
    Ok(Restored { dry, put_back })
}

impl Restored {
    /// What was done, what is lost, what to do next.
    pub fn text(&self) -> String {
        let PutBack { holds, lost, replaced, mended, in_use } = &self.put_back;
        let mut lines = vec![format!(
            "backup    {} of {} ({} not ended, {} waiting for approval), the newest of {}",
            entries(holds.entries),
            count(holds.runs, "run"),
            holds.open,
            holds.waiting,
            when(holds.newest_ms),
        )];
        lines.push(match lost {
            None => "lost      nothing: there is no journal in the folder".to_owned(),
            Some(Err(why)) => {
                format!("lost      not known: the present journal cannot be compared ({})", first_line(why))
            }
            Some(Ok(lost)) if lost.entries == 0 => "lost      nothing: the present journal holds no more".to_owned(),
            Some(Ok(lost)) => format!(
                "lost      {}: {}, {} that went on, {} (answers included), {}\n          {}",
                entries(lost.entries),
                count(lost.runs, "newer run"),
                count(lost.went_on, "run"),
                count(lost.effects, "effect"),
                count(lost.decisions, "decision"),
                lost.named.join(" "),
            ),
        });
        if !mended.is_empty() {
            let tense = if self.dry { "would be" } else { "were" };
            lines.push(format!(
                "mended    rows that say something else than their entries {tense} written anew from these:\n          {}",
                mended.join("\n          ")
            ));
        }
        if let Some(replaced) = replaced {
            lines.push(format!("replaced  the journal that was there is kept as {}", replaced.display()));
        }
        lines.push(match self.dry {
            true if *in_use => "nothing was changed; a process uses the folder: stop it, then give the command without --dry-run.\n\
                                The backup is put in place then, and the agent paused"
                .to_owned(),
            true => "nothing was changed; without --dry-run the backup is put in place, and the agent paused".to_owned(),
            false => "paused    the agent does nothing until somebody resumes it, in the pages or with `deskhand resume`.\n\
                      \x20         Runs that may have acted since the backup look at the vendors first; what they cannot find\n\
                      \x20         out goes to a person. Everybody signs in anew; users and roles are as they were then."
                .to_owned(),
        });
        lines.join("\n")
    }

    /// The same for a machine.
    pub fn json(&self) -> Value {
        let lost = match &self.put_back.lost {
            None => Value::Null,
            Some(Err(why)) => json!({ "unknown": why }),
            Some(Ok(lost)) => json!({
                "entries": lost.entries,
                "runs": lost.runs,
                "runs_went_on": lost.went_on,
                "effects": lost.effects,
                "decisions": lost.decisions,
                "named": lost.named,
            }),
        };
        json!({
            "dry_run": self.dry,
            "holds": holds_json(&self.put_back.holds),
            "lost": lost,
            "replaced": self.put_back.replaced,
            "mended": self.put_back.mended,
            "in_use": self.put_back.in_use,
        })
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
