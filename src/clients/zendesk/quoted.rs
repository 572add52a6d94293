//! Where a person's own words end: quoted history and signatures of mail programs, in five languages. What is split off is
//! kept by the caller; rules read the own words, because a quotation may hold anybody's.

/// Splits a message into the sender's own words and the quoted history below them. A signature after `-- ` belongs to
/// neither and goes with the history. Text that is nothing but a quotation is returned as own words: better too much than
/// nothing.
pub fn own_words(text: &str) -> (String, Option<String>) {
    let lines: Vec<&str> = text.lines().collect();
    let Some(at) = (0..lines.len()).find(|i| starts_history(&lines, *i)) else {
        return strip_inline(&lines, text);
    };
    let own = lines[..at].join("\n").trim().to_owned();
    if own.is_empty() {
        return below(&lines, at).unwrap_or_else(|| (text.trim().to_owned(), None));
    }
    (own, Some(lines[at..].join("\n").trim().to_owned()))
}

/// A person who answers below the quotation: the history stands first, in `>` lines.
fn below(lines: &[&str], at: usize) -> Option<(String, Option<String>)> {
    let last = lines.iter().rposition(|line| is_quote(line))?;
    if last < at {
        return None;
    }
    let own = lines[last + 1..].join("\n").trim().to_owned();
    if own.is_empty() || own.lines().next().is_some_and(|l| l.trim_end() == "--") {
        return None;
    }
    Some((own, Some(lines[..=last].join("\n").trim().to_owned())))
}

/// Without a head line: `>` lines anywhere are quotations.
fn strip_inline(lines: &[&str], text: &str) -> (String, Option<String>) {
    let (quoted, own): (Vec<&str>, Vec<&str>) = lines.iter().partition(|line| is_quote(line));
    let own = own.join("\n").trim().to_owned();
    if quoted.is_empty() || own.is_empty() {
        return (text.trim().to_owned(), None);
    }
    (own, Some(quoted.join("\n").trim().to_owned()))
}

fn is_quote(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

fn starts_history(lines: &[&str], at: usize) -> bool {
    let line = lines[at].trim_matches(['*', ' ', '\u{a0}', '\t']);
    // The signature mark is two dashes and a space; many mail programs lose the space.
    if matches!(lines[at].trim_end(), "--" | "—") && at > 0 {
        return true;
    }
    let lower = line.to_lowercase();
    is_divider(&lower) || is_attribution(lines, at, &lower) || is_header_block(lines, at)
}

/// `-----Original Message-----` and its kin, and the line of underscores that Outlook puts above its header block.
fn is_divider(lower: &str) -> bool {
    const WORDS: [&str; 12] = [
        "original message",
        "forwarded message",
        "ursprüngliche nachricht",
        "originalnachricht",
        "weitergeleitete nachricht",
        "message d'origine",
        "message original",
        "message transféré",
        "mensaje original",
        "mensaje reenviado",
        "mensagem original",
        "mensagem encaminhada",
    ];
    let dashed = lower.starts_with("--") && lower.ends_with("--");
    let core = lower.trim_matches(['-', ' ', '_']).replace('’', "'");
    (dashed && WORDS.iter().any(|word| core.starts_with(word)))
        || (lower.len() >= 20 && lower.chars().all(|c| c == '_'))
}

/// `On Tue, … Jane wrote:`, which mail programs break over two or three lines.
fn is_attribution(lines: &[&str], at: usize, lower: &str) -> bool {
    const OPENINGS: [&str; 7] = ["on ", "am ", "le ", "el ", "em ", "a ", "il "];
    const ENDINGS: [&str; 10] = [
        "wrote:",
        "schrieb:",
        "a écrit :",
        "a écrit:",
        "escribió:",
        "escreveu:",
        "ha scritto:",
        "wrote",
        "schrieb",
        "escribió",
    ];
    if !OPENINGS.iter().any(|o| lower.starts_with(o)) {
        return false;
    }
    // Without a digit (a day, an hour) it is prose: “On it, he wrote”.
    let mut joined = String::new();
    for line in lines.iter().skip(at).take(3) {
        joined.push_str(&line.to_lowercase().replace('\u{a0}', " "));
        let whole = joined.trim();
        if whole.len() > 300 {
            return false;
        }
        let ends = ENDINGS.iter().take(7).any(|e| whole.ends_with(e))
            || (whole.ends_with(':') && ENDINGS.iter().any(|e| whole.contains(&format!(" {e}"))));
        if ends && whole.contains(|c: char| c.is_ascii_digit()) {
            return true;
        }
        joined.push(' ');
    }
    false
}

/// Outlook's block: `From: …` with `Sent:`, `To:` or `Subject:` in the lines below.
fn is_header_block(lines: &[&str], at: usize) -> bool {
    const FROM: [&str; 4] = ["from", "von", "de", "da"];
    const REST: [&str; 22] = [
        "sent",
        "to",
        "subject",
        "date",
        "cc",
        "gesendet",
        "an",
        "betreff",
        "datum",
        "envoyé",
        "à",
        "objet",
        "enviado",
        "enviado el",
        "para",
        "asunto",
        "fecha",
        "enviada em",
        "assunto",
        "data",
        "envoyé le",
        "copie",
    ];
    let key = |line: &str| {
        let line = line.trim_matches(['*', ' ', '\u{a0}', '\t', '>']);
        let (key, value) = line.split_once(':')?;
        let key = key.trim_matches(['*', ' ', '\u{a0}']).to_lowercase();
        (key.chars().count() <= 12).then(|| (key, value.trim_matches(['*', ' ']).is_empty()))
    };
    let Some((first, empty)) = key(lines[at]) else { return false };
    if empty || !FROM.contains(&first.as_str()) {
        return false;
    }
    let following = lines[at + 1..].iter().filter(|l| !l.trim().is_empty()).take(4);
    following.filter_map(|l| key(l)).filter(|(k, _)| REST.contains(&k.as_str())).count() >= 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, own: &str, quoted: bool) {
        let (words, history) = own_words(text);
        assert_eq!(words, own, "{text}");
        assert_eq!(history.is_some(), quoted, "{text}");
    }

    #[test]
    fn quoted_history_in_five_languages() {
        check(
            "Still broken.\n\nOn Tue, 3 Nov 2026 at 10:02, Support <a@b.example> wrote:\n> Please cancel",
            "Still broken.",
            true,
        );
        check("Thanks\n\nOn Tue, 3 Nov 2026 at 10:02, A very long name\n<a@b.example> wrote:\n\n> old", "Thanks", true);
        check("Danke!\n\nAm 03.11.2026 um 10:02 schrieb Support:\n> alt", "Danke!", true);
        check("Danke!\n\nAm Di., 3. Nov. 2026 um 10:02 Uhr schrieb Support <\na@b.example>:\n> alt", "Danke!", true);
        check("Merci\n\nLe mar. 3 nov. 2026 à 10:02, Support a écrit :\n> vieux", "Merci", true);
        check("Gracias\n\nEl mar, 3 nov 2026 a las 10:02, Soporte escribió:\n> viejo", "Gracias", true);
        check("Obrigado\n\nEm ter., 3 de nov. de 2026 às 10:02, Suporte escreveu:\n> antigo", "Obrigado", true);
        check("No\n\n-----Original Message-----\nFrom: Support\nold", "No", true);
        check("Nein\n\n-----Ursprüngliche Nachricht-----\nalt", "Nein", true);
        check("New\n\nFrom: Support <a@b.example>\nSent: Tuesday\nTo: Me\nSubject: Hi\n\nold", "New", true);
        check("Neu\n\n*Von:* Support\n*Gesendet:* Dienstag\n*An:* Ich\n*Betreff:* Hallo\n\nalt", "Neu", true);
        check("New\n________________________________\nFrom: x\nold", "New", true);
        check("yes\n> do you want it?\nno", "yes\nno", true);
        check("On 3 Nov 2026, Support wrote:\n> which colour?\n\nBlue please", "Blue please", true);
    }

    #[test]
    fn signatures_go_and_prose_stays() {
        check("Hello\n-- \nJane Doe\nACME", "Hello", true);
        check("On it. He wrote: nothing.", "On it. He wrote: nothing.", false);
        check("On Monday I paid twice\nand wrote to you.", "On Monday I paid twice\nand wrote to you.", false);
        check("From: my point of view\nit is fine", "From: my point of view\nit is fine", false);
        check("I want to cancel my order -- now", "I want to cancel my order -- now", false);
        check("> everything is quoted", "> everything is quoted", false);
        check("", "", false);
    }
}
