//! `deskhand init`: asks the few questions and writes `deskhand.toml`, in shadow mode: nothing leaves until a person says so.

use std::io::{BufRead, Write};
use std::path::Path;

use crate::config::{Config, Layers, Mistakes};

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is a file already.
    #[error("`{0}` is there already\nhint: give another name with --config, or --force to write over it")]
    Exists(String),
    /// Asking or writing failed.
    #[error("`{path}`: {source}")]
    Io {
        /// What was written or asked.
        path: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The input ended before all questions were answered.
    #[error("the answers ended before `{0}` was answered\nhint: answer all questions; an empty line takes the default")]
    Unanswered(&'static str),
    /// What was answered does not make a configuration.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

/// One question: the key that it sets, the words, and the default (`None`: it must be answered).
struct Question {
    key: &'static str,
    ask: &'static str,
    default: Option<&'static str>,
    secret: bool,
}

const QUESTIONS: [Question; 9] = [
    Question { key: "shop.name", ask: "Name of your shop, as customers know it", default: None, secret: false },
    Question { key: "shop.support_address", ask: "Address that customers write to", default: None, secret: false },
    Question {
        key: "zendesk.base_url",
        ask: "Address of your Zendesk (https://acme.zendesk.com)",
        default: None,
        secret: false,
    },
    Question {
        key: "zendesk.client_id",
        ask: "Unique identifier of your Zendesk OAuth client",
        default: None,
        secret: false,
    },
    Question {
        key: "zendesk.client_secret_file",
        ask: "File that holds its secret",
        default: Some("zendesk.secret"),
        secret: true,
    },
    Question {
        key: "claude.api_key_file",
        ask: "File that holds your Claude API key",
        default: Some("claude.secret"),
        secret: true,
    },
    Question {
        key: "stripe.api_key_file",
        ask: "File that holds your restricted Stripe key",
        default: Some("stripe.secret"),
        secret: true,
    },
    Question {
        key: "billing.base_url",
        ask: "Address of your billing API (empty: you have none)",
        default: Some(""),
        secret: false,
    },
    Question { key: "web.time_zone", ask: "Time zone of the pages", default: Some("UTC"), secret: false },
];

/// Asks on the terminal and writes the file.
pub fn run(file: &Path, force: bool) -> Result<(), Error> {
    let shown = file.display().to_string();
    if file.exists() && !force {
        return Err(Error::Exists(shown));
    }
    let io = |source| Error::Io { path: shown.clone(), source };
    let stdin = std::io::stdin().lock();
    let mut out = std::io::stdout();
    let answers = ask(stdin, &mut out)?;
    let text = render(&answers);
    std::fs::write(file, &text).map_err(io)?;
    writeln!(out, "\nwrote {shown} in shadow mode: runs are worked and shown, nothing is sent").map_err(io)?;
    match check(&text) {
        Ok(()) => writeln!(out, "next: deskhand serve --config {shown}").map_err(io)?,
        Err(mistakes) => writeln!(out, "before `deskhand serve` can start, mend this:\n{mistakes}").map_err(io)?,
    }
    Ok(())
}

fn ask(mut input: impl BufRead, out: &mut impl Write) -> Result<Vec<(&'static str, String)>, Error> {
    let mut answers = Vec::new();
    for question in &QUESTIONS {
        let io = |source| Error::Io { path: "the terminal".to_owned(), source };
        loop {
            match question.default {
                Some(default) if !default.is_empty() => write!(out, "{} [{default}]: ", question.ask).map_err(io)?,
                _ => write!(out, "{}: ", question.ask).map_err(io)?,
            }
            out.flush().map_err(io)?;
            let mut line = String::new();
            if input.read_line(&mut line).map_err(io)? == 0 {
                return Err(Error::Unanswered(question.key));
            }
            let answer = match (line.trim(), question.default) {
                ("", Some(default)) => default,
                ("", None) => {
                    writeln!(out, "  this one is needed").map_err(io)?;
                    continue;
                }
                (answer, _) => answer,
            };
            if !answer.is_empty() {
                answers.push((question.key, answer.to_owned()));
            }
            break;
        }
    }
    Ok(answers)
}

fn render(answers: &[(&'static str, String)]) -> String {
    let mut table = toml::Table::new();
    table.insert("mode".to_owned(), "shadow".into());
    for (key, value) in answers {
        let (section, name) = key.split_once('.').expect("every question's key has a section");
        let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
        if let toml::Value::Table(section) = section {
            section.insert(name.to_owned(), value.clone().into());
        }
    }
    if let Some(toml::Value::Table(billing)) = table.get_mut("billing") {
        billing.insert("token_file".to_owned(), "billing.secret".into());
    }
    let secrets: Vec<&str> = QUESTIONS.iter().filter(|question| question.secret).map(|question| question.key).collect();
    format!(
        "# Deskhand's configuration; README.md lists all keys. Secrets stand in files of their own ({}),\n\
         # readable by the service alone.\n\
         # mode = \"shadow\": nothing leaves. \"auto\": answers and effects, as the rules allow.\n{table}",
        secrets.join(", ")
    )
}

fn check(text: &str) -> Result<(), Mistakes> {
    let mut layers = Layers::default();
    layers.add_toml(text, "deskhand.toml");
    Config::read(layers).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_become_a_file_that_lacks_only_the_secrets() {
        let input = "Acme\nsupport@acme.example\nhttps://acme.zendesk.com\ndeskhand\n\n\n\n\nEurope/Berlin\n";
        let mut shown = Vec::new();
        let answers = ask(input.as_bytes(), &mut shown).unwrap();
        let text = render(&answers);
        let mistakes = check(&text).unwrap_err().0;
        let keys: Vec<&str> = mistakes.iter().map(|mistake| mistake.key.as_str()).collect();
        assert_eq!(keys, ["claude.api_key_file", "stripe.api_key_file", "zendesk.client_secret_file"], "{mistakes:?}");
        assert!(text.contains("mode = \"shadow\""), "{text}");
    }

    #[test]
    fn a_needed_answer_is_asked_for_again_and_an_end_is_an_error() {
        let mut shown = Vec::new();
        let failed = ask("\n\nAcme\n".as_bytes(), &mut shown).unwrap_err();
        assert!(matches!(failed, Error::Unanswered("shop.support_address")), "{failed}");
        assert_eq!(String::from_utf8(shown).unwrap().matches("this one is needed").count(), 2);
    }
}
