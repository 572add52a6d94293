//! The help center's articles and their index. Everything here can be built again from the articles at any time, so it is no
//! part of the journal: a file that cannot be read is thrown away. Fetching articles is the helpdesk's client; drafts and
//! internal articles never get in.
//!
//! A search ranks by the share of the query's weight that a passage holds (rare words weigh more), then by BM25 with title
//! before heading before text. Below [`FLOOR`] nothing is returned: an answer must rest on something, and a passage that
//! shares one common word with the question is nothing.

mod index;
mod passages;
mod words;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};
use sha2::{Digest as _, Sha256};

use self::index::{Candidate, Index};
pub use self::passages::PASSAGE_MAX_CHARS;

use crate::article::Article;
use crate::ids::ArticleId;

/// How many passages a search returns unless told otherwise.
pub const PASSAGES_DEFAULT: usize = 4;
/// The most passages a search returns.
pub const PASSAGES_MAX: usize = 20;
/// The most passages of one article in a result.
const PER_ARTICLE_MAX: usize = 2;
/// How many candidates are ranked.
const CANDIDATES: usize = 80;
/// The share of a query's weight that a passage with its title must hold. Measured on the shipped help center.
pub const FLOOR: f64 = 0.42;
/// What a match in the customer's own language is worth.
const LANGUAGE_BONUS: f64 = 0.12;
/// The form of the file; another one is thrown away.
const FORM: i64 = 4;

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
    inner: Mutex<Inner>,
}

struct Inner {
    connection: Connection,
    /// What searches look through, and the digest of the articles that it was read from.
    read: Option<(String, Index)>,
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
            return Ok(Self::over(prepare(Connection::open_in_memory()?)?));
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
        Ok(Self::over(connection))
    }

    fn over(connection: Connection) -> Self {
        Self { inner: Mutex::new(Inner { connection, read: None }) }
    }

    /// Takes these articles as the whole help center, in one transaction; does nothing when they are the same as before.
    pub fn replace_all(&self, articles: &[Article]) -> Result<Size, Error> {
        let digest = digest(articles);
        let mut inner = self.lock();
        if known_digest(&inner.connection)?.as_deref() == Some(digest.as_str()) {
            return size(&inner.connection);
        }
        let transaction = inner.connection.transaction()?;
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
                    "INSERT INTO stems (passage, title, heading, text) VALUES (?1, ?2, ?3, ?4)",
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
        size(&self.lock().connection)
    }

    /// Whether an article is in the index: whether an answer may cite it.
    pub fn holds(&self, article: ArticleId) -> Result<bool, Error> {
        let sql = "SELECT EXISTS (SELECT 1 FROM passages WHERE article = ?1)";
        Ok(self.lock().connection.query_row(sql, [article.0], |row| row.get(0))?)
    }

    /// The passages that fit best, best first, at most `k` (up to [`PASSAGES_MAX`]). `language` is the customer's, as `en` or
    /// `pt-br`: articles in it come first, others are found too. The first search after a change of the articles reads them.
    pub fn search(&self, query: &str, language: Option<&str>, k: usize) -> Result<Vec<Passage>, Error> {
        let wanted = words::query_words(query);
        if wanted.is_empty() || k == 0 {
            return Ok(Vec::new());
        }
        let mut inner = self.lock();
        let Inner { connection, read } = &mut *inner;
        // One look at the file: another process may put other articles in.
        let transaction = connection.transaction()?;
        let digest = known_digest(&transaction)?.unwrap_or_default();
        let index = match read {
            Some((of, index)) if *of == digest => &*index,
            _ => &read.insert((digest, load(&transaction)?)).1,
        };
        let mut found = ranked(index, &wanted, language);
        let mut taken: BTreeMap<ArticleId, usize> = BTreeMap::new();
        found.retain(|candidate| {
            let count = taken.entry(candidate.article).or_default();
            *count += 1;
            *count <= PER_ARTICLE_MAX
        });
        found.truncate(k.min(PASSAGES_MAX));
        // The texts of those that are returned, and of no other.
        let mut statement =
            transaction.prepare_cached("SELECT title, heading, text, url, updated_ms FROM passages WHERE id = ?1")?;
        let read = |candidate: &Ranked| {
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

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while it was held left a whole transaction or none.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A passage that may be returned, with its whole score.
struct Ranked {
    passage: i64,
    article: ArticleId,
    score: f64,
}

/// The passages that hold enough of the query, best first.
fn ranked(index: &Index, wanted: &[String], language: Option<&str>) -> Vec<Ranked> {
    let found = index.candidates(wanted, language, CANDIDATES);
    let best_fit = found.iter().map(|candidate| candidate.fit).fold(f64::MIN_POSITIVE, f64::max);
    let score = |candidate: &Candidate| {
        let bonus = if candidate.in_language { LANGUAGE_BONUS } else { 0.0 };
        candidate.held + 0.25 * candidate.fit / best_fit + 0.2 * candidate.held_in_heads + bonus
    };
    let mut ranked: Vec<Ranked> = found
        .iter()
        .filter(|candidate| candidate.held >= FLOOR)
        .map(|candidate| Ranked {
            passage: candidate.passage,
            article: ArticleId(candidate.article),
            score: score(candidate),
        })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.article.cmp(&b.article)));
    ranked
}

fn prepare(connection: Connection) -> rusqlite::Result<Connection> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Nothing here is lost for good: it is read from the helpdesk again.
    connection.pragma_update(None, "synchronous", "OFF")?;
    let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if form != FORM {
        connection.execute_batch(
            "BEGIN;
             DROP TABLE IF EXISTS stem_counts; DROP TABLE IF EXISTS stems; DROP TABLE IF EXISTS passages; -- of earlier forms
             DROP TABLE IF EXISTS about;
             CREATE TABLE passages (
                 id INTEGER PRIMARY KEY, article INTEGER NOT NULL, title TEXT NOT NULL, heading TEXT NOT NULL,
                 text TEXT NOT NULL, url TEXT NOT NULL, locale TEXT NOT NULL, updated_ms INTEGER NOT NULL
             ) STRICT;
             CREATE INDEX passages_by_article ON passages (article); -- whether an article may be cited
             CREATE TABLE stems (
                 passage INTEGER PRIMARY KEY, title TEXT NOT NULL, heading TEXT NOT NULL, text TEXT NOT NULL
             ) STRICT;
             CREATE TABLE about (one INTEGER PRIMARY KEY CHECK (one = 1), digest TEXT NOT NULL) STRICT;
             COMMIT;",
        )?;
        connection.pragma_update(None, "user_version", FORM)?;
    }
    Ok(connection)
}

/// Of which articles the file was made; `None`: of none yet.
fn known_digest(connection: &Connection) -> Result<Option<String>, Error> {
    let mut statement = connection.prepare_cached("SELECT digest FROM about WHERE one = 1")?;
    Ok(statement.query_row([], |row| row.get(0)).optional()?)
}

/// Reads what searches look through.
fn load(connection: &Connection) -> Result<Index, Error> {
    let mut statement = connection.prepare(
        "SELECT p.id, p.article, p.locale, s.title, s.heading, s.text FROM stems s JOIN passages p ON p.id = s.passage \
         ORDER BY p.id",
    )?;
    let mut rows = statement.query([])?;
    let mut index = Index::default();
    while let Some(row) = rows.next()? {
        let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        index.add(row.get(0)?, row.get(1)?, text(2)?, [text(3)?, text(4)?, text(5)?]);
    }
    Ok(index)
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
