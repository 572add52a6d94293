//! An article → passages: HTML to Markdown, cut at headings into pieces that a model can read at once. Tables stay whole, or
//! are cut between rows with their head repeated.

use crate::article::Article;

/// The longest passage, in characters: about 200 words. Four of them make a search result.
pub const PASSAGE_MAX_CHARS: usize = 1_200;
/// A passage shorter than this takes the next section in, in characters.
const PASSAGE_MIN_CHARS: usize = 500;

/// A piece of an article.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The headings above it, outermost first, apart by ` > `; empty for the beginning.
    pub heading: String,
    /// Markdown.
    pub text: String,
}

/// Cuts an article into passages, in order.
pub fn cut(article: &Article) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for section in sections(&markdown(&article.body_html)) {
        for text in split(&section.text) {
            match pieces.last_mut() {
                // Small neighbours share a passage; the heading stays readable within the text.
                Some(last)
                    if last.text.chars().count() < PASSAGE_MIN_CHARS
                        && last.text.chars().count() + text.chars().count() + section.heading.len() + 6
                            <= PASSAGE_MAX_CHARS =>
                {
                    if section.heading != last.heading && !section.heading.is_empty() {
                        let own = section.heading.rsplit(" > ").next().unwrap_or_default();
                        last.text += &format!("\n\n## {own}");
                        last.heading = match last.heading.as_str() {
                            "" => section.heading.clone(),
                            before => format!("{before}; {}", section.heading),
                        };
                    }
                    last.text += "\n\n";
                    last.text += &text;
                }
                _ => pieces.push(Piece { heading: section.heading.clone(), text }),
            }
        }
    }
    pieces
}

/// HTML as Markdown, without the escapes that only a renderer needs.
fn markdown(html: &str) -> String {
    let converter = htmd::HtmlToMarkdown::builder()
        .skip_tags(vec!["script", "style", "img", "iframe", "video", "audio", "svg", "form", "noscript"])
        .build();
    let markdown = converter.convert(html).unwrap_or_default();
    let mut out = String::with_capacity(markdown.len());
    let mut chars = markdown.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\\' && chars.peek().is_some_and(char::is_ascii_punctuation) {
            continue;
        }
        out.push(c);
    }
    out
}

struct Section {
    heading: String,
    text: String,
}

fn sections(markdown: &str) -> Vec<Section> {
    let mut sections = vec![Section { heading: String::new(), text: String::new() }];
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut fenced = false;
    for line in markdown.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let level = line.bytes().take_while(|b| *b == b'#').count();
        if !fenced && (1..=6).contains(&level) && line[level..].starts_with(' ') {
            path.retain(|(above, _)| *above < level);
            path.push((level, line[level..].trim().trim_matches('*').to_owned()));
            let names: Vec<&str> = path.iter().map(|(_, name)| name.as_str()).collect();
            sections.push(Section { heading: names.join(" > "), text: String::new() });
            continue;
        }
        let last = sections.last_mut().expect("begins with one");
        last.text.push_str(line.trim_end());
        last.text.push('\n');
    }
    for section in &mut sections {
        section.text = section.text.trim().to_owned();
    }
    sections.retain(|section| !section.text.is_empty());
    sections
}

/// A section in pieces of at most the longest length, cut between paragraphs where possible.
fn split(text: &str) -> Vec<String> {
    if text.chars().count() <= PASSAGE_MAX_CHARS {
        return vec![text.to_owned()];
    }
    let mut pieces: Vec<String> = Vec::new();
    for block in text.split("\n\n").flat_map(block_pieces) {
        match pieces.last_mut() {
            Some(last) if last.chars().count() + block.chars().count() + 2 <= PASSAGE_MAX_CHARS => {
                last.push_str("\n\n");
                last.push_str(&block);
            }
            _ => pieces.push(block),
        }
    }
    pieces
}

/// A paragraph, list or table that may be longer than a passage: cut between lines, then anywhere.
fn block_pieces(block: &str) -> Vec<String> {
    if block.chars().count() <= PASSAGE_MAX_CHARS {
        return vec![block.to_owned()];
    }
    let lines: Vec<&str> = block.lines().collect();
    let table = lines.len() > 2 && lines[0].trim_start().starts_with('|') && lines[1].contains("---");
    let head = if table { format!("{}\n{}", lines[0], lines[1]) } else { String::new() };
    let mut pieces = vec![head.clone()];
    for line in lines.iter().skip(if table { 2 } else { 0 }) {
        for part in hard_split(line) {
            let last = pieces.last_mut().expect("begins with one");
            if !last.is_empty() && last.chars().count() + part.chars().count() + 1 > PASSAGE_MAX_CHARS {
                pieces.push(head.clone());
            }
            let last = pieces.last_mut().expect("begins with one");
            if !last.is_empty() {
                last.push('\n');
            }
            last.push_str(&part);
        }
    }
    pieces
}

/// A single line that is longer than a passage: cut at spaces.
fn hard_split(line: &str) -> Vec<String> {
    let most = PASSAGE_MAX_CHARS * 3 / 4;
    if line.chars().count() <= most {
        return vec![line.to_owned()];
    }
    let mut parts = vec![String::new()];
    for word in line.split(' ') {
        let last = parts.last_mut().expect("begins with one");
        if !last.is_empty() && last.chars().count() + word.chars().count() + 1 > most {
            parts.push(word.chars().take(most).collect());
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last.extend(word.chars().take(most));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::ArticleId;

    fn article(body_html: &str) -> Article {
        Article {
            id: ArticleId(1),
            title: "T".into(),
            url: "https://help.example/1".into(),
            body_html: body_html.into(),
            locale: "en-us".into(),
            section: String::new(),
            updated_at: jiff::Timestamp::UNIX_EPOCH,
            draft: false,
            internal: false,
        }
    }

    #[test]
    fn sections_become_passages_with_their_path() {
        let long = "word ".repeat(120);
        let body = format!(
            "<p>Intro.</p><h2>First</h2><p>{long}</p><h3>Inner</h3><p>{long}</p><h2>Second</h2><ul><li>a_b*c</li></ul>\
             <img src='x' alt='y'><script>no</script>"
        );
        let pieces = cut(&article(&body));
        let headings: Vec<&str> = pieces.iter().map(|piece| piece.heading.as_str()).collect();
        assert_eq!(headings, ["First", "First > Inner", "Second"]);
        assert!(pieces[0].text.starts_with("Intro.\n\n## First\n\nword"));
        assert!(pieces[2].text.contains("a_b*c"));
        assert!(!pieces.iter().any(|piece| piece.text.contains("no")));
    }

    #[test]
    fn no_passage_is_too_long_and_tables_keep_their_head() {
        let rows: String =
            (0..80).map(|i| format!("<tr><td>row {i}</td><td>{i} dollars and cents</td></tr>")).collect();
        let body = format!(
            "<table><thead><tr><th>Name</th><th>Price</th></tr></thead><tbody>{rows}</tbody></table><p>{}</p>",
            "x".repeat(5_000)
        );
        let pieces = cut(&article(&body));
        assert!(pieces.iter().all(|piece| piece.text.chars().count() <= PASSAGE_MAX_CHARS));
        let tables: Vec<&Piece> = pieces.iter().filter(|piece| piece.text.contains("row ")).collect();
        assert!(tables.len() > 1 && tables.iter().all(|piece| piece.text.starts_with("| Name")), "{tables:?}");
        assert!(pieces.iter().any(|piece| piece.text.contains("row 79")));
    }

    #[test]
    fn an_empty_article_has_no_passages() {
        assert!(cut(&article("")).is_empty());
        assert!(cut(&article("<p> </p>")).is_empty());
    }
}
