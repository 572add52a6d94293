//! Comment texts between plain text and HTML, as Zendesk converts them.

/// Plain text as HTML paragraphs.
pub(in crate::sim) fn to_html(text: &str) -> String {
    let paragraph =
        |part: &str| format!("<p dir=\"auto\">{}</p>", escape(part.trim_matches('\n')).replace('\n', "<br>"));
    let text = text.replace("\r\n", "\n");
    text.split("\n\n").filter(|part| !part.trim().is_empty()).map(paragraph).collect()
}

/// `&`, `<`, `>` and `"` as entities.
pub(in crate::sim) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// HTML as plain text. Text that CSS hides stays in, as it does at Zendesk; only `style` and `script` elements go.
pub(in crate::sim) fn to_plain(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open].replace('\n', " "));
        let Some(close) = rest[open..].find('>') else {
            rest = "";
            break;
        };
        let tag = rest[open + 1..open + close].to_ascii_lowercase();
        rest = &rest[open + close + 1..];
        let name: String = tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect();
        if (name == "style" || name == "script") && !tag.starts_with('/') {
            let end = format!("</{name}");
            let lower = rest.to_ascii_lowercase();
            rest = lower.find(&end).map_or("", |at| &rest[at..]);
            continue;
        }
        match name.as_str() {
            "br" => out.push('\n'),
            "p" | "div" | "tr" | "li" | "ul" | "ol" | "table" | "h1" | "h2" | "h3" | "h4" | "blockquote"
                if !out.is_empty() && !out.ends_with("\n\n") && tag.starts_with('/') =>
            {
                out.push_str(if matches!(name.as_str(), "p" | "ul" | "ol" | "table") { "\n\n" } else { "\n" });
            }
            "td" | "th" if tag.starts_with('/') => out.push(' '),
            _ => {}
        }
    }
    out.push_str(&rest.replace('\n', " "));
    let plain = out
        .replace("&nbsp;", " ")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&");
    plain.trim().to_owned()
}

/// Plain text that may hold tags, without them; its lines stay as they are.
pub(in crate::sim) fn to_plain_keep_lines(text: &str) -> String {
    let looks_like_html = ["</", "<br", "<p>", "<div"].iter().any(|mark| text.contains(mark));
    if looks_like_html { to_plain(&text.replace('\n', "<br>")) } else { text.to_owned() }
}

/// Cuts a text to so many bytes, at a letter's border.
pub(in crate::sim) fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_becomes_plain_text_and_hidden_text_stays() {
        let check = |html: &str, plain: &str| assert_eq!(to_plain(html), plain, "{html}");
        check("<p>One</p><p>Two &amp; three</p>", "One\n\nTwo & three");
        check("a<br>b", "a\nb");
        check("<p>x</p><p style=\"display:none\">hidden</p>", "x\n\nhidden");
        check("<style>p{}</style><b>bold</b>", "bold");
        check("a < b", "a");
        check("", "");
    }

    #[test]
    fn plain_text_becomes_paragraphs() {
        assert_eq!(to_html("a\nb\n\n<c>"), "<p dir=\"auto\">a<br>b</p><p dir=\"auto\">&lt;c&gt;</p>");
        assert_eq!(to_html(""), "");
    }
}
