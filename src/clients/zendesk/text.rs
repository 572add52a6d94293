//! The HTML of a comment → the text that a person would see. Parts that a reader cannot see are dropped, because whoever
//! writes a mail can hide instructions for a model in them (the helpdesk's own plain forms keep them as ordinary prose).
//! Splitting off quoted history is `quoted.rs`; judging what the text says is nobody's business here.

use std::rc::Rc;

use markup5ever_rcdom::{Node, NodeData};

use super::style::Style;

/// More HTML than this is cut before parsing: it holds far more than the text that is kept, and the parser's time grows with
/// the square of a hostile nesting.
const HTML_MAX_BYTES: usize = 120_000;

/// What a person sees of this HTML, as plain text: paragraphs apart, lists with dashes, quotations with `> `.
pub fn from_html(html: &str) -> String {
    let tree = htmd::HtmlToMarkdown::builder()
        .scripting_enabled(false)
        .build()
        .html_to_tree(cut(html, HTML_MAX_BYTES))
        .expect("parsing a string reads no file");
    let mut page = Page::default();
    // An explicit stack: a hostile mail nests deeper than a thread's stack.
    // The root is kept to the end: when a node of this tree is dropped it empties all nodes below it.
    let mut todo = vec![Job::Enter(tree.clone(), Style::default())];
    while let Some(job) = todo.pop() {
        match job {
            Job::Enter(node, style) => enter(&node, style, &mut page, &mut todo),
            Job::Leave(tag) => page.leave(tag),
            Job::Link(href, start) => page.link(&href, start),
        }
    }
    drop(tree);
    visible_characters(page.out.trim()).trim().to_owned()
}

/// A text without the characters that show nothing: zero-width ones, direction marks, tag characters. The joiners stay that
/// emoji and some scripts need.
pub fn visible_characters(text: &str) -> String {
    let hidden = |c: char| {
        matches!(c, '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{00ad}' | '\u{e0000}'..='\u{e007f}')
            || (c.is_control() && c != '\n' && c != '\t')
    };
    text.replace("\r\n", "\n").chars().filter(|c| !hidden(*c)).collect()
}

/// The longest part of at most so many bytes that ends between two characters.
pub fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

enum Job {
    Enter(Rc<Node>, Style),
    Leave(Tag),
    Link(String, usize),
}

#[derive(Clone, Copy, PartialEq)]
enum Tag {
    Paragraph,
    Line,
    Quote,
    Pre,
    List,
    Cell,
}

fn enter(node: &Rc<Node>, style: Style, page: &mut Page, todo: &mut Vec<Job>) {
    let mut style = style;
    match &node.data {
        NodeData::Text { contents } => {
            if style.shows() {
                page.text(&contents.borrow());
            }
            return;
        }
        NodeData::Element { name, attrs, .. } => {
            let tag: &str = &name.local;
            if matches!(
                tag,
                "head"
                    | "style"
                    | "script"
                    | "template"
                    | "title"
                    | "object"
                    | "iframe"
                    | "svg"
                    | "math"
                    | "audio"
                    | "video"
                    | "select"
                    | "canvas"
            ) {
                return;
            }
            let attrs = attrs.borrow();
            let attr = |wanted: &str| attrs.iter().find(|a| &*a.name.local == wanted).map(|a| &*a.value);
            style = style.inside(tag, attr);
            if style.is_gone() {
                return;
            }
            match tag {
                "br" => page.newlines += 1,
                "hr" => page.rule(),
                "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "table" => block(page, todo, Tag::Paragraph),
                "blockquote" => block(page, todo, Tag::Quote),
                "pre" => block(page, todo, Tag::Pre),
                "ul" | "ol" => block(page, todo, Tag::List),
                "td" | "th" => todo.push(Job::Leave(Tag::Cell)),
                "li" => {
                    block(page, todo, Tag::Line);
                    page.dash = true;
                }
                "div" | "tr" | "section" | "article" | "header" | "footer" | "dt" | "dd" | "address" | "center"
                | "figure" | "form" | "details" | "summary" => block(page, todo, Tag::Line),
                "a" => {
                    let href = attr("href").unwrap_or_default().trim();
                    if style.shows() && href.starts_with("http") && href.len() <= 200 {
                        todo.push(Job::Link(href.to_owned(), page.out.len()));
                    }
                }
                _ => {}
            }
        }
        NodeData::Document => {}
        _ => return, // Comments, processing instructions, the doctype.
    }
    for child in node.children.borrow().iter().rev() {
        todo.push(Job::Enter(child.clone(), style.clone()));
    }
}

fn block(page: &mut Page, todo: &mut Vec<Job>, tag: Tag) {
    page.enter(tag);
    todo.push(Job::Leave(tag));
}

/// The text as it grows.
#[derive(Default)]
struct Page {
    out: String,
    /// Line ends that are due before the next word.
    newlines: usize,
    /// A space is due before the next word.
    space: bool,
    /// A dash is due before the next word.
    dash: bool,
    quotes: usize,
    pre: usize,
    lists: usize,
}

impl Page {
    fn enter(&mut self, tag: Tag) {
        match tag {
            Tag::Paragraph => self.newlines = self.newlines.max(2),
            Tag::Line => self.newlines = self.newlines.max(1),
            Tag::Quote => {
                self.newlines = self.newlines.max(2);
                self.end_lines();
                self.quotes += 1;
                self.newlines = usize::from(!self.out.is_empty()).max(1);
            }
            Tag::Pre => {
                self.newlines = self.newlines.max(2);
                self.pre += 1;
            }
            Tag::List => {
                self.newlines = self.newlines.max(if self.lists == 0 { 2 } else { 1 });
                self.lists += 1;
            }
            Tag::Cell => {}
        }
    }

    fn leave(&mut self, tag: Tag) {
        match tag {
            Tag::Paragraph => self.newlines = self.newlines.max(2),
            Tag::Line => self.newlines = self.newlines.max(1),
            Tag::Quote => {
                self.quotes -= 1;
                self.newlines = self.newlines.max(2);
            }
            Tag::Pre => {
                self.pre -= 1;
                self.newlines = self.newlines.max(2);
            }
            Tag::List => {
                self.lists -= 1;
                self.newlines = self.newlines.max(if self.lists == 0 { 2 } else { 1 });
            }
            Tag::Cell => self.space = true,
        }
        self.dash = false;
    }

    fn text(&mut self, text: &str) {
        if self.pre > 0 {
            for (i, line) in text.split('\n').enumerate() {
                if i > 0 {
                    self.newlines += 1;
                }
                if !line.is_empty() {
                    self.word(line);
                }
            }
            return;
        }
        let blank = |c: char| c.is_ascii_whitespace() || c == '\u{a0}';
        if text.starts_with(blank) {
            self.space = true;
        }
        for word in text.split(blank).filter(|word| !word.is_empty()) {
            self.word(word);
            self.space = true;
        }
        if !text.ends_with(blank) && text.chars().any(|c| !blank(c)) {
            self.space = false;
        }
    }

    fn word(&mut self, word: &str) {
        let fresh = self.newlines > 0 || self.out.is_empty();
        self.end_lines();
        if self.dash {
            self.out.push_str("- ");
            self.dash = false;
        } else if self.space && !fresh {
            self.out.push(' ');
        }
        self.space = false;
        self.out.push_str(word);
    }

    /// Writes the line ends that are due, with the marks of quotations.
    fn end_lines(&mut self) {
        let mark = "> ".repeat(self.quotes);
        if self.out.is_empty() {
            self.out.push_str(&mark);
        } else {
            for _ in 0..self.newlines.min(2) {
                self.out.truncate(self.out.trim_end_matches(' ').len());
                self.out.push('\n');
                self.out.push_str(&mark);
            }
        }
        self.newlines = 0;
    }

    fn rule(&mut self) {
        self.newlines = self.newlines.max(1);
        self.word("---");
        self.newlines = 1;
    }

    /// Names a link's target after its words, unless the words name it.
    fn link(&mut self, href: &str, start: usize) {
        let words = self.out.get(start..).unwrap_or_default();
        let bare = href.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        if !words.trim().is_empty() && !words.contains(bare) {
            self.space = true;
            self.word(&format!("({href})"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(html: &str, text: &str) {
        assert_eq!(from_html(html), text, "{html}");
    }

    #[test]
    fn shows_what_a_reader_sees() {
        check("<p>Hello,</p><p>my order\n  is <b>late</b>.</p>", "Hello,\n\nmy order is late.");
        check("a<br>b<br><br>c", "a\nb\n\nc");
        check("<ul><li>one</li><li>two <i>2</i></li></ul>end", "- one\n- two 2\n\nend");
        check("<div>a</div><div>b</div>", "a\nb");
        check("<p>see</p><blockquote><p>old</p><p>older</p></blockquote>", "see\n\n\n>\n> old\n>\n> older");
        check("<pre>x\n  y</pre>", "x\n  y");
        check("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\nc");
        check("see <a href=\"https://a.example/x\">this page</a>.", "see this page (https://a.example/x).");
        check("see <a href=\"https://a.example/x\">https://a.example/x</a>", "see https://a.example/x");
        check("5 &lt; 6 &amp; caf&eacute;", "5 < 6 & café");
        check("", "");
        check("plain", "plain");
    }

    #[test]
    fn drops_what_a_reader_cannot_see() {
        for hidden in [
            "<div style=\"display:none\">X</div>",
            "<div style=\"DISPLAY : NONE !important\">X</div>",
            "<div style='display:/* a */none'>X</div>",
            "<div style='d\\69splay:none'>X</div>",
            "<span style=\"font-size:0\">X</span>",
            "<span style=\"font-size:0px;color:red\">X</span>",
            "<span style=\"font-size:0.1pt\">X</span>",
            "<span style=\"font-size:0\"><b>X</b></span>",
            "<span style=\"visibility:hidden\">X</span>",
            "<span style=\"opacity:0\">X</span>",
            "<span style=\"opacity:0.00\"><p style='opacity:1'>X</p></span>",
            "<span style=\"color:#fff\">X</span>",
            "<span style=\"color:white;background:#fefefe\">X</span>",
            "<font color=\"#FFFFFF\">X</font>",
            "<div style='background-color:#000'><span style='color:rgb(0,0,0)'>X</span></div>",
            "<span style=\"color:transparent\">X</span>",
            "<span style=\"color:rgba(0,0,0,0)\">X</span>",
            "<p hidden>X</p>",
            "<!-- X -->",
            "<div style='max-height:0;overflow:hidden'>X</div>",
            "<div style='position:absolute;left:-9999px'>X</div>",
            "<div style='text-indent:-9999px'>X</div>",
            "<x-own style='display:none'>X</x-own>",
            "<style>X</style><script>X</script><title>X</title><template>X</template>",
            "<img alt=\"X\"><input value=\"X\">",
            "\u{e0041}\u{200b}",
        ] {
            check(&format!("seen {hidden}"), "seen");
        }
    }

    #[test]
    fn keeps_what_only_looks_hidden() {
        for shown in [
            "<td style='font-size:0'><div style='font-size:13px'>X</div></td>",
            "<div style='visibility:hidden'><b style='visibility:visible'>X</b></div>",
            "<div style='background:#222'><span style='color:#fff'>X</span></div>",
            "<table bgcolor='#003366'><tr><td><font color='white'>X</font></td></tr></table>",
            "<div style='font-size:10px;color:#888'>X</div>",
            "<div style='background:url(a.png)'><span style='color:#fff'>X</span></div>",
            "<div style='opacity:0.9;display:block'>X</div>",
        ] {
            assert_eq!(from_html(shown).trim(), "X", "{shown}");
        }
    }

    #[test]
    fn deep_nesting_is_harmless() {
        let deep = format!("{}X", "<div>".repeat(4_000));
        assert_eq!(from_html(&deep), "X");
    }
}
