//! A small strict SMTP sink on loopback: it takes mail, records it in the world and delivers nothing. It keeps to RFC 5321 in
//! what it asks of a client (order of commands, a recipient, the size it announced) and offers neither TLS nor sign-in.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::faults::{Ask, FaultBox, Strikes};
use super::world::{Event, Mail, World};

/// The largest mail that is taken, in bytes; announced by `SIZE`.
pub const SIZE_MAX_BYTES: usize = 1024 * 1024;

/// The longest command line: RFC 5321 section 4.5.3.1.4, with room for `SMTPUTF8` addresses.
const LINE_MAX_BYTES: u64 = 2048;

/// The most recipients of one mail: RFC 5321 section 4.5.3.1.8.
const RECIPIENTS_MAX: usize = 100;

/// Takes connections until it is stopped.
pub(super) async fn serve(listener: TcpListener, world: Arc<World>, faults: FaultBox, stop: CancellationToken) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { continue };
        let session = Session { world: world.clone(), faults: faults.clone(), envelope: None, greeted: false };
        let stop = stop.clone();
        tokio::spawn(async move {
            // A client that goes away is no error of ours.
            tokio::select! {
                () = stop.cancelled() => {}
                _ = session.run(stream) => {}
            }
        });
    }
}

struct Session {
    world: Arc<World>,
    faults: FaultBox,
    envelope: Option<Envelope>,
    greeted: bool,
}

/// What MAIL and RCPT said.
struct Envelope {
    from: String,
    to: Vec<String>,
    strikes: Strikes,
}

/// What a command leads to.
enum After {
    Reply(String),
    Data,
    Quit(String),
    /// The connection is reset.
    Break,
}

impl Session {
    async fn run(mut self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 sim.example ESMTP Deskhand mail sink, delivers nothing\r\n").await?;
        loop {
            let mut line = Vec::new();
            if (&mut stream).take(LINE_MAX_BYTES).read_until(b'\n', &mut line).await? == 0 {
                return Ok(());
            }
            let mut after = match std::str::from_utf8(&line) {
                Ok(text) if text.ends_with("\r\n") => self.command(text.trim_end()),
                Ok(_) => After::Reply("500 5.5.2 a line ends with CRLF and has at most 2048 bytes".to_owned()),
                Err(_) => After::Reply("500 5.5.2 a line is UTF-8".to_owned()),
            };
            if matches!(after, After::Data) {
                stream.write_all(b"354 go on, end with a dot on a line of its own\r\n").await?;
                let data = read_data(&mut stream).await?;
                after = self.take(data).await;
            }
            match after {
                After::Reply(text) => stream.write_all(format!("{text}\r\n").as_bytes()).await?,
                After::Quit(text) => {
                    stream.write_all(format!("{text}\r\n").as_bytes()).await?;
                    return Ok(());
                }
                After::Break => return stream.get_ref().set_zero_linger(),
                After::Data => {} // Taken above.
            }
        }
    }

    fn command(&mut self, line: &str) -> After {
        let reply = |text: &str| After::Reply(text.to_owned());
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" if rest.trim().is_empty() => reply("501 5.5.4 say who you are: EHLO name"),
            "EHLO" => {
                self.greeted = true;
                self.envelope = None;
                let name = rest.split_whitespace().next().unwrap_or_default();
                After::Reply(format!(
                    "250-sim.example greets {name}\r\n250-SIZE {SIZE_MAX_BYTES}\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n\
                     250-ENHANCEDSTATUSCODES\r\n250 PIPELINING"
                ))
            }
            "HELO" if !rest.trim().is_empty() => {
                self.greeted = true;
                self.envelope = None;
                reply("250 sim.example")
            }
            "NOOP" => reply("250 2.0.0 ok"),
            "RSET" => {
                self.envelope = None;
                reply("250 2.0.0 forgotten")
            }
            "QUIT" => After::Quit("221 2.0.0 bye".to_owned()),
            "VRFY" => reply("252 2.1.5 send it and see"),
            _ if !self.greeted => reply("503 5.5.1 say EHLO first"),
            "MAIL" => self.mail(rest),
            "RCPT" => self.recipient(rest),
            "DATA" if !rest.is_empty() => reply("501 5.5.4 DATA stands alone"),
            "DATA" => match &self.envelope {
                None => reply("503 5.5.1 say MAIL first"),
                Some(envelope) if envelope.to.is_empty() => reply("503 5.5.1 name a recipient first"),
                Some(_) => After::Data,
            },
            "STARTTLS" | "AUTH" => reply("502 5.5.1 not offered"),
            _ => reply("500 5.5.2 no such command"),
        }
    }

    fn mail(&mut self, rest: &str) -> After {
        let reply = |text: &str| After::Reply(text.to_owned());
        if self.envelope.is_some() {
            return reply("503 5.5.1 one mail at a time");
        }
        let Some((from, parameters)) = path(rest, "FROM:") else {
            return reply("501 5.5.4 write MAIL FROM:<address>");
        };
        for parameter in parameters.split_whitespace() {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match key.to_ascii_uppercase().as_str() {
                "SIZE" if value.parse::<usize>().is_ok_and(|size| size > SIZE_MAX_BYTES) => {
                    return reply("552 5.3.4 too large");
                }
                "SIZE" if value.parse::<usize>().is_ok() => {}
                "BODY" if matches!(value.to_ascii_uppercase().as_str(), "7BIT" | "8BITMIME") => {}
                "SMTPUTF8" if value.is_empty() => {}
                _ => return reply("555 5.5.4 no such parameter"),
            }
        }
        if !self.world.is_on_file() {
            return reply("451 4.3.1 no room to keep it, try again");
        }
        let strikes = self.faults.strike(&Ask { vendor: "smtp", ..Ask::default() });
        if strikes.has("421") {
            return After::Quit("421 4.3.2 closing, try later".to_owned());
        }
        self.envelope = Some(Envelope { from: from.to_owned(), to: Vec::new(), strikes });
        reply("250 2.1.0 ok")
    }

    fn recipient(&mut self, rest: &str) -> After {
        let reply = |text: &str| After::Reply(text.to_owned());
        let Some(envelope) = &mut self.envelope else { return reply("503 5.5.1 say MAIL first") };
        let Some((to, parameters)) = path(rest, "TO:") else { return reply("501 5.5.4 write RCPT TO:<address>") };
        if !parameters.trim().is_empty() {
            return reply("555 5.5.4 no such parameter");
        }
        let good = to.split_once('@').is_some_and(|(local, domain)| !local.is_empty() && domain.len() > 2);
        if !good {
            return reply("553 5.1.3 that is no address");
        }
        if envelope.to.len() >= RECIPIENTS_MAX {
            return reply("452 4.5.3 too many recipients");
        }
        for strike in &envelope.strikes.0 {
            match strike.name {
                "451" => return reply("451 4.3.0 not now, try again"),
                "550" => return reply("550 5.1.1 no such mailbox"),
                _ => {}
            }
        }
        envelope.to.push(to.to_owned());
        reply("250 2.1.5 ok")
    }

    /// Records a mail.
    async fn take(&mut self, data: Option<Vec<u8>>) -> After {
        let reply = |text: &str| After::Reply(text.to_owned());
        let Some(Envelope { from, to, strikes }) = self.envelope.take() else {
            return reply("503 5.5.1 say MAIL first");
        };
        let Some(data) = data else { return reply("552 5.3.4 too large") };
        if let Some(strike) = strikes.get("late") {
            self.world.clock().sleep(strike.millis()).await;
        }
        if strikes.has("lost_before") {
            return After::Break;
        }
        let raw = String::from_utf8_lossy(&data).into_owned();
        let headers = headers(&raw);
        let find =
            |name: &str| headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone());
        if find("From").is_none() || find("Date").is_none() {
            return reply("550 5.6.0 a mail has a From and a Date");
        }
        let subject = decode_words(&find("Subject").unwrap_or_default());
        let message_id = find("Message-ID").unwrap_or_default();
        let queued = {
            let mut world = self.world.lock();
            let mail = Mail { envelope_from: from, to, subject, message_id, at: world.now(), headers, raw };
            world.apply(Event::MailAccepted { mail });
            let add = [("accepted".to_owned(), 1)].into();
            world.apply(Event::Counted { vendor: "smtp".to_owned(), route: "DATA".to_owned(), add });
            world.mails.len()
        };
        if !self.world.is_on_file() {
            return After::Break;
        }
        if let Some(strike) = strikes.get("late_after") {
            self.world.clock().sleep(strike.millis()).await;
        }
        if strikes.has("lost_after") {
            return After::Break;
        }
        if strikes.has("421_after") {
            return After::Quit("421 4.3.2 closing, try later".to_owned());
        }
        After::Reply(format!("250 2.0.0 ok, kept as {queued}"))
    }
}

/// `FROM:<address> rest`: the address and the rest.
fn path<'a>(text: &'a str, word: &str) -> Option<(&'a str, &'a str)> {
    let head = text.get(..word.len())?;
    if !head.eq_ignore_ascii_case(word) {
        return None;
    }
    text[word.len()..].trim_start().strip_prefix('<')?.split_once('>')
}

/// Reads to the lone dot and unstuffs dots; `None` when it is larger than announced (it is read to the end nevertheless).
async fn read_data(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let mut data = Vec::new();
    let mut too_large = false;
    loop {
        let mut line = Vec::new();
        let most = SIZE_MAX_BYTES as u64 + 2;
        if (&mut *stream).take(most).read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok((!too_large).then_some(data));
        }
        let unstuffed = line.strip_prefix(b".").unwrap_or(&line);
        if data.len() + unstuffed.len() > SIZE_MAX_BYTES {
            too_large = true;
        } else {
            data.extend_from_slice(unstuffed);
        }
    }
}

/// The header block: names as written, values unfolded.
fn headers(raw: &str) -> Vec<(String, String)> {
    let mut out: Vec<(String, String)> = Vec::new();
    for line in raw.split("\r\n").take_while(|line| !line.is_empty()) {
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = out.last_mut() {
                value.push(' ');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            out.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    out
}

/// Decodes the encoded words of a header (RFC 2047) in UTF-8; others stay as they are.
fn decode_words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut after_word = false;
    while let Some(start) = rest.find("=?") {
        let between = &rest[..start];
        let parts: Vec<&str> = rest[start + 2..].splitn(4, '?').collect();
        let decoded = match parts.as_slice() {
            [charset, encoding, body, tail] if charset.eq_ignore_ascii_case("utf-8") && tail.starts_with('=') => {
                match encoding.to_ascii_lowercase().as_str() {
                    "b" => STANDARD.decode(body).ok(),
                    "q" => Some(quoted(body)),
                    _ => None,
                }
                .map(|bytes| (bytes, &tail[1..]))
            }
            _ => None,
        };
        let Some((bytes, tail)) = decoded else {
            out.push_str(&rest[..start + 2]);
            rest = &rest[start + 2..];
            after_word = false;
            continue;
        };
        if !(after_word && between.trim().is_empty()) {
            out.push_str(between); // Only space between two encoded words means nothing.
        }
        out.push_str(&String::from_utf8_lossy(&bytes));
        rest = tail;
        after_word = true;
    }
    out.push_str(rest);
    out
}

fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'_' => out.push(b' '),
            b'=' => {
                let digits = [bytes.next().unwrap_or(b'0'), bytes.next().unwrap_or(b'0')];
                let hex = std::str::from_utf8(&digits).unwrap_or("3F");
                out.push(u8::from_str_radix(hex, 16).unwrap_or(b'?'));
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_unfold_and_subjects_decode() {
        let raw =
            "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe_an?=\r\n =?utf-8?b?IGRpY2g=?= x\r\nTo: a@b.example\r\n\r\nBody: no\r\n";
        let block = headers(raw);
        assert_eq!(block.len(), 2);
        assert_eq!(decode_words(&block[0].1), "Grüße an dich x");
        assert_eq!(decode_words("plain =? text"), "plain =? text");
    }

    #[test]
    fn paths_are_read_strictly() {
        let check = |text: &str, expected: Option<(&str, &str)>| assert_eq!(path(text, "FROM:"), expected, "{text}");
        check("FROM:<a@b.example> SIZE=10", Some(("a@b.example", " SIZE=10")));
        check("from:<>", Some(("", "")));
        check("FROM: a@b.example", None);
        check("TO:<a@b.example>", None);
        check("FRÖ:<a>", None);
    }
}
