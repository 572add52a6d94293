//! Text as the lexicons see it: sentences of folded words, and small patterns over them. Not here: what any pattern means.
//!
//! Folding makes `Kündigung`, `KUENDIGUNG` and `kundigung` near enough to write one pattern: lower case, no accents, no
//! apostrophes inside English words (`don't` → `dont`), French elisions split (`l'abonnement` → `l abonnement`).
//!
//! A pattern is a row of parts with blanks between them:
//!
//! | part | matches |
//! |---|---|
//! | `cancel` | this word |
//! | `cancel*` | a word that starts so |
//! | `*abo` | a word that ends so |
//! | `a\|b*\|@class` | one of these; a class is a named list of such alternatives |
//! | `part?` | the part, or nothing |
//! | `!part` | nothing is consumed: the next word is not this |
//! | `~4` | up to four words of any kind, but no comma and no blocked word |
//! | `^`, `$` | the start, the end of a sentence |

/// A run of words without a full stop in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// The folded words; a comma stands as `,`.
    pub tokens: Vec<Token>,
    /// The text as written.
    pub raw: String,
    /// Whether it ends in a question mark.
    pub question: bool,
}

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Folded, for comparing.
    pub word: String,
    /// As written.
    pub raw: String,
    /// Where it starts in the sentence's `raw`, in bytes.
    pub at: usize,
}

impl Token {
    /// Whether it was written with a capital first letter.
    pub fn capital(&self) -> bool {
        self.raw.chars().next().is_some_and(char::is_uppercase)
    }
}

/// Lower case, no accents. One character may become two (`ß` → `ss`).
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        fold_char(c, &mut out);
    }
    out
}

fn fold_char(c: char, out: &mut String) {
    if c.is_ascii() {
        out.push(c.to_ascii_lowercase());
        return;
    }
    for c in c.to_lowercase() {
        match c {
            'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ª' => out.push('a'),
            'è' | 'é' | 'ê' | 'ë' | 'ē' => out.push('e'),
            'ì' | 'í' | 'î' | 'ï' | 'ī' => out.push('i'),
            'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'º' => out.push('o'),
            'ù' | 'ú' | 'û' | 'ü' | 'ū' => out.push('u'),
            'ç' => out.push('c'),
            'ñ' => out.push('n'),
            'ÿ' | 'ý' => out.push('y'),
            'ß' => out.push_str("ss"),
            'œ' => out.push_str("oe"),
            'æ' => out.push_str("ae"),
            // Combining accents, soft hyphens and zero-width marks: written to look like nothing.
            '\u{300}'..='\u{36f}' | '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => {}
            // Full-width letters and digits, as some keyboards write them.
            '\u{ff01}'..='\u{ff5e}' => {
                let plain = char::from_u32(c as u32 - 0xfee0).unwrap_or(c);
                out.push(plain.to_ascii_lowercase());
            }
            other => out.push(other),
        }
    }
}

/// Splits a text into sentences. A single line break does not end one (mail programs wrap lines); an empty line, a list
/// marker and `.` `!` `?` `;` before a blank do.
pub fn sentences(text: &str) -> Vec<Sentence> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = Vec::new();
    let mut current = String::new();
    let flush = |current: &mut String, out: &mut Vec<Sentence>| {
        let raw = std::mem::take(current);
        let raw = raw.trim().to_owned();
        if !raw.is_empty() {
            let sentence = tokenise(raw);
            if !sentence.tokens.is_empty() {
                out.push(sentence);
            }
        }
    };
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let next = chars.peek().copied();
        match c {
            '\n' => match next {
                None | Some('\n' | '-' | '*' | '•' | '#' | '|') => flush(&mut current, &mut out),
                // A short line stands by itself: a salutation, a signature, a heading.
                Some(_) if current.chars().count() < 40 && current.trim_end().ends_with([',', ':']) => {
                    flush(&mut current, &mut out);
                }
                Some(_) => current.push(' '),
            },
            '.' | '!' | '?' | ';' | '…' => {
                current.push(c);
                let after_blank =
                    next.is_none_or(|n| n.is_whitespace() || matches!(n, '"' | '”' | '»' | ')' | '*' | '_'));
                if after_blank && !(c == '.' && abbreviation(&current)) {
                    flush(&mut current, &mut out);
                }
            }
            _ => current.push(c),
        }
    }
    flush(&mut current, &mut out);
    out
}

/// Whether a full stop at the end of this text belongs to an abbreviation.
fn abbreviation(text: &str) -> bool {
    let last = text.trim_end_matches('.').rsplit(|c: char| c.is_whitespace() || c == '(').next().unwrap_or("");
    matches!(
        last.to_lowercase().as_str(),
        "dr" | "mr"
            | "mrs"
            | "ms"
            | "st"
            | "e.g"
            | "i.e"
            | "z.b"
            | "d.h"
            | "bzw"
            | "ca"
            | "nr"
            | "no"
            | "incl"
            | "inkl"
            | "sr"
            | "sra"
            | "dra"
            | "mme"
            | "m"
            | "p.ej"
            | "ex"
            | "v"
            | "usw"
            | "approx"
            | "nov"
            | "dec"
            | "oct"
            | "jan"
            | "feb"
            | "aug"
            | "sept"
            | "sep"
    ) || (last.chars().all(|c| c.is_ascii_digit()) && !last.is_empty() && last.len() <= 2)
}

fn tokenise(raw: String) -> Sentence {
    let mut tokens: Vec<Token> = Vec::new();
    let mut start = None;
    let push = |from: usize, to: usize, tokens: &mut Vec<Token>| {
        let piece = &raw[from..to];
        let trimmed = piece.trim_matches(apostrophe);
        if trimmed.is_empty() {
            return;
        }
        let at = from + piece.find(trimmed).unwrap_or(0);
        // French elisions are two words; an English apostrophe is none.
        if let Some((head, tail)) = trimmed.split_once(apostrophe) {
            let folded = fold(head);
            let elided = matches!(
                folded.as_str(),
                "l" | "d" | "j" | "n" | "s" | "c" | "m" | "t" | "qu" | "jusqu" | "lorsqu" | "puisqu" | "quelqu"
            );
            if elided {
                tokens.push(Token { word: folded, raw: head.to_owned(), at });
                let tail_at = at + trimmed.len() - tail.len();
                tokens.push(Token { word: fold(tail).replace(apostrophe, ""), raw: tail.to_owned(), at: tail_at });
                return;
            }
        }
        let word: String = fold(trimmed).chars().filter(|c| !apostrophe(*c)).collect();
        if !word.is_empty() {
            tokens.push(Token { word, raw: trimmed.to_owned(), at });
        }
    };
    for (at, c) in raw.char_indices() {
        let inside = c.is_alphanumeric()
            || apostrophe(c)
            || matches!(c, '\u{300}'..='\u{36f}' | '\u{ad}' | '\u{200b}'..='\u{200d}');
        match (inside, start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                push(from, at, &mut tokens);
                start = None;
            }
            _ => {}
        }
        if matches!(c, ',' | '(' | ')' | '–' | '—' | ':') {
            tokens.push(Token { word: ",".to_owned(), raw: c.to_string(), at });
        }
    }
    if let Some(from) = start {
        push(from, raw.len(), &mut tokens);
    }
    let question = raw.trim_end_matches(['"', '”', '»', ')', '*', '_', ' ']).ends_with('?');
    Sentence { tokens, raw, question }
}

fn apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | '‘' | '`' | '´')
}

/// One alternative for a word.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Alternative {
    Exact(String),
    Starts(String),
    Ends(String),
    Holds(String),
}

impl Alternative {
    fn parse(text: &str) -> Alternative {
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(inner), Some(_)) if text.len() > 2 => Alternative::Holds(inner.trim_end_matches('*').to_owned()),
            (Some(end), _) => Alternative::Ends(end.to_owned()),
            (_, Some(start)) => Alternative::Starts(start.to_owned()),
            _ => Alternative::Exact(text.to_owned()),
        }
    }

    /// The first byte of every word that can fit; `None`: any.
    fn first_byte(&self) -> Option<u8> {
        match self {
            Alternative::Exact(text) | Alternative::Starts(text) => text.bytes().next(),
            Alternative::Ends(_) | Alternative::Holds(_) => None,
        }
    }

    /// The last letters of the words that can fit.
    fn lasts(&self) -> Letters {
        match self {
            Alternative::Ends(text) | Alternative::Exact(text) if !text.is_empty() => Letters::one(text.bytes().last()),
            _ => Letters::ALL,
        }
    }

    fn fits(&self, word: &str) -> bool {
        match self {
            Alternative::Exact(text) => word == text,
            Alternative::Starts(text) => word.starts_with(text.as_str()),
            Alternative::Ends(text) => word.ends_with(text.as_str()),
            Alternative::Holds(text) => word.contains(text.as_str()),
        }
    }
}

/// A list of alternatives, as `cancel*|quit`. Hundreds of lists are asked about every word of a ticket and nearly all say no, so
/// each looks first at the word's first and last letter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WordSet {
    /// Those that fit a word by its end or its middle first, the others by their first byte.
    all: Vec<Alternative>,
    /// How many of them may begin with anything.
    open: usize,
    /// First letters of those that do not.
    firsts: Letters,
    /// Last letters of those that do.
    lasts: Letters,
}

/// A set of letters, by their lowest five bits: they tell the letters of the alphabet apart, and nothing is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Letters(u32);

impl Letters {
    const ALL: Letters = Letters(u32::MAX);

    fn of(letters: impl Iterator<Item = Letters>) -> Letters {
        Letters(letters.fold(0, |all, one| all | one.0))
    }

    /// The one letter; none for none.
    fn one(byte: Option<u8>) -> Letters {
        Letters(byte.map_or(0, |byte| 1 << (byte & 31)))
    }

    fn meet(self, other: Letters) -> bool {
        self.0 & other.0 != 0
    }
}

impl WordSet {
    /// Parses alternatives; `@name` stands for a class.
    pub fn parse(text: &str, classes: &[(&str, &str)]) -> WordSet {
        let mut all = Vec::new();
        for piece in text.split('|') {
            match piece.strip_prefix('@') {
                Some(name) => {
                    let (_, list) = classes
                        .iter()
                        .find(|(class, _)| *class == name)
                        .expect("a pattern names only classes of its table");
                    all.extend(WordSet::parse(list, classes).all);
                }
                None => all.push(Alternative::parse(piece)),
            }
        }
        all.sort_by_key(Alternative::first_byte);
        let open = all.partition_point(|alternative| alternative.first_byte().is_none());
        let (ends, starts) = all.split_at(open);
        let firsts = Letters::of(starts.iter().map(|alternative| Letters::one(alternative.first_byte())));
        let lasts = Letters::of(ends.iter().map(Alternative::lasts));
        WordSet { open, firsts, lasts, all }
    }

    /// Whether the word is one of these.
    pub fn holds(&self, word: &str) -> bool {
        let (first, last) = (word.bytes().next(), word.bytes().last());
        let (open, rest) = self.all.split_at(self.open);
        if self.lasts.meet(Letters::one(last)) && open.iter().any(|alternative| alternative.fits(word)) {
            return true;
        }
        if !self.firsts.meet(Letters::one(first)) {
            return false;
        }
        let from = rest.partition_point(|alternative| alternative.first_byte() < first);
        let mut same = rest[from..].iter().take_while(|alternative| alternative.first_byte() == first);
        same.any(|alternative| alternative.fits(word))
    }
}

#[derive(Debug, Clone)]
enum Part {
    Word { set: WordSet, optional: bool },
    Not(WordSet),
    Gap(usize),
    Start,
    End,
}

/// A pattern with its id.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// Shown and stored as what matched.
    pub id: &'static str,
    parts: Vec<Part>,
}

impl Pattern {
    /// Parses a pattern; see the module's head. Panics on a class that the table lacks, which a test of each table shows.
    pub fn parse(id: &'static str, text: &str, classes: &[(&str, &str)]) -> Pattern {
        let parts = text
            .split_whitespace()
            .map(|part| match part {
                "^" => Part::Start,
                "$" => Part::End,
                _ => match part.as_bytes()[0] {
                    b'~' => Part::Gap(part[1..].parse().expect("a gap is `~` and a number")),
                    b'!' => Part::Not(WordSet::parse(&part[1..], classes)),
                    _ => {
                        let (body, optional) = match part.strip_suffix('?') {
                            Some(body) => (body, true),
                            None => (part, false),
                        };
                        Part::Word { set: WordSet::parse(body, classes), optional }
                    }
                },
            })
            .collect();
        Pattern { id, parts }
    }

    /// The first place where it matches: indexes of the first word and of the one after the last.
    pub fn find(&self, tokens: &[Token], blocked: &WordSet) -> Option<(usize, usize)> {
        self.find_from(tokens, blocked, 0)
    }

    /// The first place at or after this word.
    pub fn find_from(&self, tokens: &[Token], blocked: &WordSet, from: usize) -> Option<(usize, usize)> {
        (from..tokens.len()).find_map(|start| {
            if tokens[start].word == "," {
                return None;
            }
            self.ends_at(tokens, start, 0, blocked).filter(|end| *end > start).map(|end| (start, end))
        })
    }

    fn ends_at(&self, tokens: &[Token], at: usize, part: usize, blocked: &WordSet) -> Option<usize> {
        let Some(next) = self.parts.get(part) else { return Some(at) };
        match next {
            Part::Start => {
                let first = tokens[..at].iter().all(|token| token.word == ",");
                if first { self.ends_at(tokens, at, part + 1, blocked) } else { None }
            }
            Part::End => {
                let last = tokens[at..].iter().all(|token| token.word == ",");
                if last { self.ends_at(tokens, at, part + 1, blocked) } else { None }
            }
            Part::Not(set) => match tokens.get(at) {
                Some(token) if set.holds(&token.word) => None,
                _ => self.ends_at(tokens, at, part + 1, blocked),
            },
            Part::Word { set, optional } => {
                let here = tokens.get(at).filter(|token| set.holds(&token.word));
                here.and_then(|_| self.ends_at(tokens, at + 1, part + 1, blocked))
                    .or_else(|| if *optional { self.ends_at(tokens, at, part + 1, blocked) } else { None })
            }
            Part::Gap(most) => {
                for skipped in 0..=*most {
                    if let Some(end) = self.ends_at(tokens, at + skipped, part + 1, blocked) {
                        return Some(end);
                    }
                    match tokens.get(at + skipped) {
                        Some(token) if token.word != "," && !blocked.holds(&token.word) => {}
                        _ => return None,
                    }
                }
                None
            }
        }
    }
}

/// The words of a match, as written.
pub fn quoted(sentence: &Sentence, from: usize, to: usize) -> String {
    let first = sentence.tokens[from].at;
    let last = &sentence.tokens[to - 1];
    sentence.raw[first..last.at + last.raw.len()].split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fold_and_sentences_split() {
        let check = |text: &str, expected: &[&str]| {
            let found: Vec<String> = sentences(text)
                .iter()
                .map(|s| s.tokens.iter().map(|t| t.word.as_str()).collect::<Vec<_>>().join(" "))
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("Don't cancel. It's $1,249.00!", &["dont cancel", "its 1 , 249 00"]);
        check("Je résilie l'abonnement\nBrightslot aujourd’hui", &["je resilie l abonnement brightslot aujourdhui"]);
        check("Größe?\n\nKÜNDIGUNG", &["grosse", "kundigung"]);
        check("Hi Dr. Okafor,\nthanks", &["hi dr okafor ,", "thanks"]);
        check("c\u{200b}ancel ｃａｎｃｅｌ", &["cancel cancel"]);
        check("", &[]);
    }

    #[test]
    fn a_set_holds_what_any_of_its_alternatives_fits() {
        let classes = [("ours", "subscription|plan*|*abo")];
        let set = WordSet::parse("quit|@ours|quitt*|*ing|*mid*|a", &classes);
        for (word, held) in [
            ("quit", true),
            ("quits", false),
            ("quittance", true),
            ("plan", true),
            ("planer", true),
            ("pla", false),
            ("subscription", true),
            ("subscriptions", false),
            ("testabo", true),
            ("abos", false),
            ("charging", true),
            ("inga", false),
            ("amids", true),
            ("a", true),
            ("ab", false),
            ("", false),
            ("zebra", false),
        ] {
            assert_eq!(set.holds(word), held, "{word}");
        }
    }

    #[test]
    fn patterns_match() {
        let classes = [("ours", "subscription|plan*|account")];
        let blocked = WordSet::parse("meeting*|order", &classes);
        let check = |pattern: &str, text: &str, expected: Option<&str>| {
            let pattern = Pattern::parse("test", pattern, &classes);
            let found = sentences(text)
                .iter()
                .find_map(|s| pattern.find(&s.tokens, &blocked).map(|(from, to)| quoted(s, from, to)));
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("cancel* ~3 @ours", "Please cancel our whole Plan.", Some("cancel our whole Plan"));
        check("cancel* ~3 @ours", "Please cancel the meeting on my plan.", None);
        check("cancel* ~3 @ours", "Cancel it, the plan is fine", None);
        check("^ cancel $", "Cancel!", Some("Cancel"));
        check("^ cancel $", "Cancel that", None);
        check("cancel !order ~1 @ours", "cancel order plan", None);
        check("not? cancel*", "cancelling", Some("cancelling"));
        check("*abo kundig*", "Testabo kündigen", Some("Testabo kündigen"));
    }
}
