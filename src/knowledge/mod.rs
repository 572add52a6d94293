//! The help center's articles and their index. Everything here can be built again from the articles at any time, so it is no
//! part of the journal: a file that cannot be read is thrown away. Fetching articles is the helpdesk's client; drafts and
//! internal articles never get in.
//!
//! A search ranks by the share of the query's weight that a passage holds (rare words weigh more), then by BM25 with title
//! before heading before text. Below [`FLOOR`] nothing is returned: an answer must rest on something, and a passage that
//! shares one common word with the question is nothing.

mod passages;
mod words;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

pub use passages::PASSAGE_MAX_CHARS;

use crate::article::Article;
use crate::ids::ArticleId;

/// How many passages a search returns unless told otherwise.
pub const PASSAGES_DEFAULT: usize = 4;
/// The most passages a search returns.
pub const PASSAGES_MAX: usize = 20;
/// The most passages of one article in a result.
const PER_ARTICLE_MAX: usize = 2;
/// How many candidates are ranked.
const CANDIDATES: i64 = 80;
/// The share of a query's weight that a passage with its title must hold. Measured on the shipped help center.
pub const FLOOR: f64 = 0.42;
/// What a match in the customer's own language is worth.
const LANGUAGE_BONUS: f64 = 0.12;
/// The form of the file; another one is thrown away.
const FORM: i64 = 3;

/// The index failed.
#[derive(Debug, thiserror::Error)]
#[error("the index of the help center failed\nhint: delete the knowledge file; it is built again")]
pub struct Error(#[from] rusqlite::Error);

/// A passage that a search found.
#[derive(Debug, Clone, PartialEq)]
pub struct Passage {
    /// Which article.
    pub article: ArticleId,
    /// Its title.
    pub title: String,
    /// The headings above the passage; empty for the beginning.
    pub heading: String,
    /// Markdown, at most [`PASSAGE_MAX_CHARS`] characters.
    pub text: String,
    /// Where customers read the article.
    pub url: String,
    /// When the article last changed: its revision.
    pub updated: Timestamp,
    /// How well it fits, 0 to about 1.5; from [`FLOOR`] on.
    pub score: f64,
}

/// What the index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Articles.
    pub articles: usize,
    /// Passages.
    pub passages: usize,
}

/// The index.
pub struct Knowledge {
    connection: Mutex<Connection>,
}

impl std::fmt::Debug for Knowledge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Knowledge").finish_non_exhaustive()
    }
}

impl Knowledge {
    /// Opens the index in a file, or in memory. A file that is no index of this form is made anew.
    pub fn open(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self { connection: Mutex::new(prepare(Connection::open_in_memory()?)?) });
        };
        // For the user alone, like all that stands beside it. Where it cannot be made, opening it says why.
        let private = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        let _ = private();
        let connection = Connection::open(path).and_then(prepare).or_else(|error| {
            tracing::warn!("the knowledge file cannot be read and is made anew: {error}");
            for ending in ["", "-wal", "-shm", "-journal"] {
                let mut file = path.as_os_str().to_owned();
                file.push(ending);
                // What cannot be removed shows up as the error of opening it.
                let _ = std::fs::remove_file(file);
            }
            let _ = private();
            Connection::open(path).and_then(prepare)
        })?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Takes these articles as the whole help center, in one transaction; does nothing when they are the same as before.
    pub fn replace_all(&self, articles: &[Article]) -> Result<Size, Error> {
        let digest = digest(articles);
        let mut connection = self.lock();
        let known: Option<String> =
            connection.query_row("SELECT digest FROM about WHERE one = 1", [], |row| row.get(0)).ok();
        if known.as_deref() == Some(digest.as_str()) {
            return size(&connection);
        }
        let transaction = connection.transaction()?;
        transaction.execute_batch("DELETE FROM passages; DELETE FROM stems; DELETE FROM about;")?;
        for article in articles.iter().filter(|article| article.is_public()) {
            let title_stems = words::words(&format!("{} {}", article.title, article.section)).join(" ");
            for piece in passages::cut(article) {
                transaction.execute(
                    "INSERT INTO passages (article, title, heading, text, url, locale, updated_ms) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![
                        article.id.0,
                        article.title,
                        piece.heading,
                        piece.text,
                        article.url,
                        article.locale,
                        article.updated_at.as_millisecond()
                    ],
                )?;
                transaction.execute(
                    "INSERT INTO stems (rowid, title, heading, text) VALUES (?1, ?2, ?3, ?4)",
                    params![
                        transaction.last_insert_rowid(),
                        title_stems,
                        words::words(&piece.heading).join(" "),
                        words::words(&piece.text).join(" ")
                    ],
                )?;
            }
        }
        transaction.execute("INSERT INTO about (one, digest) VALUES (1, ?1)", [digest])?;
        let size = size(&transaction)?;
        transaction.commit()?;
        Ok(size)
    }

    /// What the index holds.
    pub fn size(&self) -> Result<Size, Error> {
        size(&self.lock())
    }

    /// Whether an article is in the index: whether an answer may cite it.
    pub fn holds(&self, article: ArticleId) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM passages WHERE article = ?1)";
        Ok(self.lock().query_row(sql, [article.0], |row| row.get(0))?)
    }

    /// The passages that fit best, best first, at most `k` (up to [`PASSAGES_MAX`]). `language` is the customer's, as `en` or
    /// `pt-br`: articles in it come first, others are found too. Takes a few milliseconds.
    pub fn search(&self, query: &str, language: Option<&str>, k: usize) -> Result<Vec<Passage>, Error> {
        let wanted = words::query_words(query);
        if wanted.is_empty() || k == 0 {
            return Ok(Vec::new());
        }
        let connection = self.lock();
        let weights = weights(&connection, &wanted)?;
        let mut found = ranked(&connection, &wanted, &weights, language)?;
        let mut taken: BTreeMap<ArticleId, usize> = BTreeMap::new();
        found.retain(|candidate| {
            let count = taken.entry(candidate.article).or_default();
            *count += 1;
            *count <= PER_ARTICLE_MAX
        });
        found.truncate(k.min(PASSAGES_MAX));
        // The texts of those that are returned, and of no other.
        let mut statement =
            connection.prepare_cached("SELECT title, heading, text, url, updated_ms FROM passages WHERE id = ?1")?;
        let read = |candidate: &Candidate| {
            statement.query_row([candidate.passage], |row| {
                Ok(Passage {
                    article: candidate.article,
                    title: row.get(0)?,
                    heading: row.get(1)?,
                    text: row.get(2)?,
                    url: row.get(3)?,
                    updated: Timestamp::from_millisecond(row.get(4)?).unwrap_or(Timestamp::UNIX_EPOCH),
                    score: candidate.score,
                })
            })
        };
        Ok(found.iter().map(read).collect::<Result<_, _>>()?)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic while it was held left a whole transaction or none.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A passage that may be returned.
struct Candidate {
    passage: i64,
    article: ArticleId,
    /// BM25 at first, the whole score in the end.
    score: f64,
    /// Weight of the query's words that it holds, and of those in its title and headings.
    held: (f64, f64),
    in_language: bool,
}

/// The passages that hold enough of the query, best first.
fn ranked(
    connection: &Connection,
    wanted: &[String],
    weights: &BTreeMap<String, f64>,
    language: Option<&str>,
) -> Result<Vec<Candidate>, Error> {
    let language = language.map(primary);
    // Words are letters and digits only; the quotes keep `or` and `near` from being read as more.
    let quoted: Vec<String> = wanted.iter().map(|word| format!("\"{word}\"")).collect();
    let mut statement = connection.prepare_cached(
        "SELECT p.id, p.article, p.locale, s.title || ' ' || s.heading, s.text, -bm25(stems, 5.0, 3.0, 1.0) AS fit \
         FROM stems s JOIN passages p ON p.id = s.rowid WHERE stems MATCH ?1 ORDER BY fit DESC LIMIT ?2",
    )?;
    let rows = statement.query_map(params![quoted.join(" OR "), CANDIDATES], |row| {
        let (heads, text) = (row.get_ref(3)?.as_str()?, row.get_ref(4)?.as_str()?);
        let locale = row.get_ref(2)?.as_str()?;
        Ok(Candidate {
            passage: row.get(0)?,
            article: ArticleId(row.get(1)?),
            score: row.get(5)?,
            held: held(weights, heads, text),
            in_language: language.as_ref().is_some_and(|language| *language == primary(locale)),
        })
    })?;
    let mut found = rows.collect::<Result<Vec<_>, _>>()?;
    let best_fit = found.iter().map(|candidate| candidate.score).fold(f64::MIN_POSITIVE, f64::max);
    let total: f64 = weights.values().sum();
    found.retain(|candidate| candidate.held.0 / total >= FLOOR);
    for candidate in &mut found {
        let (anywhere, in_heads) = candidate.held;
        candidate.score = anywhere / total + 0.25 * candidate.score / best_fit + 0.2 * in_heads / total;
        if candidate.in_language {
            candidate.score += LANGUAGE_BONUS;
        }
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.article.cmp(&b.article)));
    Ok(found)
}

/// The weight of the words that stand in the heads or the text, and of those in the heads.
fn held(weights: &BTreeMap<String, f64>, heads: &str, text: &str) -> (f64, f64) {
    let (mut anywhere, mut in_heads) = (0.0, 0.0);
    for (word, weight) in weights {
        let stands_in = |words: &str| words.split(' ').any(|one| one == word);
        if stands_in(heads) {
            in_heads += weight;
            anywhere += weight;
        } else if stands_in(text) {
            anywhere += weight;
        }
    }
    (anywhere, in_heads)
}

/// How much each word of a query says: the rarer in the help center, the more. A word that no article holds counts like a rare
/// one: the question is about something else.
fn weights(connection: &Connection, wanted: &[String]) -> Result<BTreeMap<String, f64>, Error> {
    let mut count = connection.prepare_cached("SELECT count(*) FROM passages")?;
    let all = count.query_row([], |row| row.get::<_, i64>(0))? as f64;
    let mut statement = connection.prepare_cached("SELECT doc FROM stem_counts WHERE term = ?1")?;
    let mut weights = BTreeMap::new();
    for word in wanted {
        let held = statement.query_row([word], |row| row.get::<_, i64>(0)).unwrap_or(0) as f64;
        weights.insert(word.clone(), (1.0 + (all + 1.0) / (held + 1.0)).ln().min((1.0 + (all + 1.0) / 3.0).ln()));
    }
    Ok(weights)
}

fn primary(language: &str) -> String {
    language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase()
}

fn prepare(connection: Connection) -> rusqlite::Result<Connection> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Nothing here is lost for good: it is read from the helpdesk again.
    connection.pragma_update(None, "synchronous", "OFF")?;
    let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if form != FORM {
        connection.execute_batch(
            "BEGIN;
             DROP TABLE IF EXISTS stem_counts; DROP TABLE IF EXISTS stems; DROP TABLE IF EXISTS passages;
             DROP TABLE IF EXISTS about;
             CREATE TABLE passages (
                 id INTEGER PRIMARY KEY, article INTEGER NOT NULL, title TEXT NOT NULL, heading TEXT NOT NULL,
                 text TEXT NOT NULL, url TEXT NOT NULL, locale TEXT NOT NULL, updated_ms INTEGER NOT NULL
             ) STRICT;
             CREATE INDEX passages_by_article ON passages (article); -- whether an article may be cited
             CREATE VIRTUAL TABLE stems USING fts5 (title, heading, text, tokenize = 'unicode61 remove_diacritics 2');
             CREATE VIRTUAL TABLE stem_counts USING fts5vocab (stems, 'row');
             CREATE TABLE about (one INTEGER PRIMARY KEY CHECK (one = 1), digest TEXT NOT NULL) STRICT;
             COMMIT;",
        )?;
        connection.pragma_update(None, "user_version", FORM)?;
    }
    Ok(connection)
}

fn size(connection: &Connection) -> Result<Size, Error> {
    let sql = "SELECT count(DISTINCT article), count(*) FROM passages";
    let (articles, passages): (i64, i64) = connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(Size { articles: usize::try_from(articles).unwrap_or(0), passages: usize::try_from(passages).unwrap_or(0) })
}

fn digest(articles: &[Article]) -> String {
    let mut hash = Sha256::new();
    for article in articles {
        let Article { id, title, url, body_html, locale, section, updated_at, draft, internal } = article;
        for part in [title, url, body_html, locale, section] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(format!("{id} {updated_at} {draft} {internal}"));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
