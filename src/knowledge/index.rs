//! The index in memory: which stems stand in which passage, where and how often, ranked by BM25. It is read from the file once
//! and again when the articles change; a search then looks only at the passages that hold one of its words. Pure.

use std::collections::{BTreeMap, HashMap};

/// How much a word counts by where it stands: in the title, in the headings, in the text.
const WEIGHTS: [f64; 3] = [5.0, 3.0, 1.0];
/// How soon further hits of one word count less. Source of both: <https://www.sqlite.org/fts5.html#the_bm25_function>, whose
/// ranking this is.
const K1: f64 = 1.2;
/// How much a long passage counts less.
const B: f64 = 0.75;
/// What the commonest words weigh, those that stand in half of the passages and more.
const IDF_MIN: f64 = 1e-6;

/// A passage, as far as ranking looks at it.
#[derive(Debug)]
struct Place {
    id: i64,
    article: i64,
    /// The language without its region, lower case.
    language: String,
    /// How many stems it holds.
    stems: u32,
}

/// How often a stem stands in a passage: in the title, in the headings, in the text.
#[derive(Debug, Clone, Copy)]
struct Posting {
    place: u32,
    hits: [u16; 3],
}

/// All passages of a help center.
#[derive(Debug, Default)]
pub(super) struct Index {
    places: Vec<Place>,
    postings: HashMap<Box<str>, Vec<Posting>>,
    stems: u64,
}

/// A passage that holds a word of a query.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    /// Its number in the file.
    pub(super) passage: i64,
    /// Whose it is.
    pub(super) article: i64,
    /// BM25.
    pub(super) fit: f64,
    /// The weight of the query's words that it holds, as a share of the whole.
    pub(super) held: f64,
    /// The same of those in its title and headings.
    pub(super) held_in_heads: f64,
    /// Whether it is in the asked language.
    pub(super) in_language: bool,
}

impl Index {
    /// Adds a passage: its stems, apart by blanks, by where they stand.
    pub(super) fn add(&mut self, id: i64, article: i64, locale: &str, stems: [&str; 3]) {
        let place =
            u32::try_from(self.places.len()).expect("a help center has fewer than four thousand million passages");
        let mut hits: BTreeMap<&str, [u16; 3]> = BTreeMap::new();
        let mut count = 0;
        for (part, words) in stems.iter().enumerate() {
            for word in words.split(' ').filter(|word| !word.is_empty()) {
                count += 1;
                let known = &mut hits.entry(word).or_default()[part];
                *known = known.saturating_add(1);
            }
        }
        for (word, hits) in hits {
            let posting = Posting { place, hits };
            match self.postings.get_mut(word) {
                Some(list) => list.push(posting),
                None => drop(self.postings.insert(word.into(), vec![posting])),
            }
        }
        self.stems += u64::from(count);
        self.places.push(Place { id, article, language: primary(locale), stems: count });
    }

    /// The passages that hold one of these words (each named once), those that fit best first, at most so many.
    pub(super) fn candidates(&self, wanted: &[String], language: Option<&str>, most: usize) -> Vec<Candidate> {
        let language = language.map(primary);
        let (all, mean) = (self.places.len() as f64, self.stems as f64 / self.places.len().max(1) as f64);
        let mut found: BTreeMap<u32, Candidate> = BTreeMap::new();
        let mut total = 0.0;
        for word in wanted {
            let postings = self.postings.get(word.as_str()).map_or(&[][..], Vec::as_slice);
            let holding = postings.len() as f64;
            let says = says(all, holding);
            total += says;
            let idf = ((all - holding + 0.5) / (holding + 0.5)).ln();
            let idf = if idf > 0.0 { idf } else { IDF_MIN };
            for posting in postings {
                let place = &self.places[posting.place as usize];
                let candidate = found.entry(posting.place).or_insert_with(|| Candidate {
                    passage: place.id,
                    article: place.article,
                    fit: 0.0,
                    held: 0.0,
                    held_in_heads: 0.0,
                    in_language: language.as_ref().is_some_and(|language| *language == place.language),
                });
                let often: f64 = posting.hits.iter().zip(WEIGHTS).map(|(hits, weight)| f64::from(*hits) * weight).sum();
                let length = 1.0 - B + B * f64::from(place.stems) / mean;
                candidate.fit += idf * often * (K1 + 1.0) / (often + K1 * length);
                candidate.held += says;
                if posting.hits[0] > 0 || posting.hits[1] > 0 {
                    candidate.held_in_heads += says;
                }
            }
        }
        let mut found: Vec<Candidate> = found.into_values().collect();
        found.sort_by(|a, b| b.fit.total_cmp(&a.fit));
        found.truncate(most);
        for candidate in &mut found {
            candidate.held /= total;
            candidate.held_in_heads /= total;
        }
        found
    }
}

/// How much a word of a query says: the rarer in the help center, the more. A word that no article holds counts like a rare
/// one: the question is about something else.
fn says(all: f64, holding: f64) -> f64 {
    (1.0 + (all + 1.0) / (holding + 1.0)).ln().min((1.0 + (all + 1.0) / 3.0).ln())
}

fn primary(language: &str) -> String {
    language.split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, params};

    use super::*;

    const PASSAGES: [[&str; 3]; 5] = [
        ["refund policy", "how long", "refund take day card bank refund"],
        ["billing", "", "card charg date bil"],
        ["refund", "card", "mail"],
        ["zebra", "graz", "zebra graz gras refund refund refund refund gras gras gras gras"],
        ["plan", "seat", "add seat plan team refund"],
    ];

    #[test]
    fn it_ranks_as_sqlite_does() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE VIRTUAL TABLE stems USING fts5 (title, heading, text)").unwrap();
        let mut index = Index::default();
        for (id, [title, heading, text]) in (1_i64..).zip(PASSAGES) {
            index.add(id, id, "en-us", [title, heading, text]);
            let sql = "INSERT INTO stems (rowid, title, heading, text) VALUES (?1, ?2, ?3, ?4)";
            connection.execute(sql, params![id, title, heading, text]).unwrap();
        }
        for query in ["refund", "card refund", "zebra", "bil date card seat team nothing", "nothing"] {
            let wanted: Vec<String> = query.split(' ').map(str::to_owned).collect();
            let found = index.candidates(&wanted, None, 80);
            let sql =
                "SELECT rowid, -bm25(stems, 5.0, 3.0, 1.0) AS fit FROM stems WHERE stems MATCH ?1 ORDER BY fit DESC";
            let mut statement = connection.prepare(sql).unwrap();
            let expected: Vec<(i64, f64)> = statement
                .query_map([wanted.join(" OR ")], |row| Ok((row.get(0)?, row.get(1)?)))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            assert_eq!(found.len(), expected.len(), "{query}");
            for (candidate, (passage, fit)) in found.iter().zip(expected) {
                assert_eq!(candidate.passage, passage, "{query}");
                assert!((candidate.fit - fit).abs() < 1e-9, "{query}: {} and {fit}", candidate.fit);
            }
        }
    }

    #[test]
    fn the_share_of_a_query_counts_heads_apart() {
        let mut index = Index::default();
        for (id, stems) in (1_i64..).zip(PASSAGES) {
            index.add(id, id, "de", stems);
        }
        let wanted = ["zebra".to_owned(), "bank".to_owned()];
        let found = index.candidates(&wanted, Some("de-AT"), 80);
        let share = |passage| {
            let one = found.iter().find(|candidate| candidate.passage == passage).unwrap();
            assert!(one.in_language);
            (one.held, one.held_in_heads)
        };
        assert_eq!(share(4), (0.5, 0.5));
        assert_eq!(share(1), (0.5, 0.0));
        assert_eq!(index.candidates(&wanted, None, 1).len(), 1);
    }
}
