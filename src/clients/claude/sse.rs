//! Server-sent events, as far as the Messages API uses them: bytes in, events out. What an event means is `assemble.rs`.
//!
//! Source: the WHATWG HTML standard, section 9.2, "Server-sent events".

/// An event's data is at most this long, in bytes; a line that grows past it is no stream of ours.
const EVENT_MAX_BYTES: usize = 32 * 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name; empty when the stream gave none.
    pub name: String,
    /// Its data; several `data` lines are joined by line ends.
    pub data: String,
}

/// Cuts a stream into events, however its bytes are split.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_cr: bool,
    started: bool,
    name: String,
    data: Option<String>,
}

/// The stream grew past every bound.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

impl Parser {
    /// Takes the next bytes; returns the events that they completed.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            match byte {
                // CR, LF and CR LF each end one line.
                b'\n' if self.after_cr => self.after_cr = false,
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    events.extend(self.end_line());
                }
                _ => {
                    self.after_cr = false;
                    self.line.push(byte);
                    if self.line.len() > EVENT_MAX_BYTES {
                        return Err(TooLong);
                    }
                }
            }
        }
        Ok(events)
    }

    fn end_line(&mut self) -> Option<Event> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let mut line = &*text;
        if !self.started {
            line = line.trim_start_matches('\u{feff}');
            self.started = true;
        }
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            return self.data.take().map(|data| Event { name, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = value.to_owned(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {} // Comments have an empty field name; `id` and `retry` are for browsers.
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = Parser::default();
        let found = chunks.iter().flat_map(|chunk| parser.feed(chunk).unwrap());
        found.map(|event| (event.name, event.data)).collect()
    }

    #[test]
    fn cuts_a_stream_however_it_is_split() {
        let stream: &str = "\u{feff}: hello\n\nevent: a\ndata: {\"x\":1}\n\nevent: b\r\ndata: one\r\ndata:two\r\n\r\ndata: é\rid: 3\r\revent: c\n\n";
        let expected = vec![
            ("a".to_owned(), "{\"x\":1}".to_owned()),
            ("b".to_owned(), "one\ntwo".to_owned()),
            (String::new(), "é".to_owned()),
        ];
        assert_eq!(events(&[stream.as_bytes()]), expected);
        for at in 0..stream.len() {
            let (a, b) = stream.as_bytes().split_at(at);
            assert_eq!(events(&[a, b]), expected, "split at {at}");
        }
        let single: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(events(&single), expected);
    }

    #[test]
    fn an_event_without_its_empty_line_is_no_event() {
        assert!(events(&[b"event: a\ndata: 1\n"]).is_empty());
    }
}
