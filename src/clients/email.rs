//! Mail by SMTP, one connection per mail, spoken phase by phase: only so can a failure before the mail was handed over be told
//! from one after it. What to write and to whom is decided elsewhere; nothing here repeats anything, because a mail cannot be
//! taken back.
//!
//! | phase | no answer, connection lost | 4xx | 5xx |
//! |---|---|---|---|
//! | connect, greeting, TLS, sign-in, MAIL, RCPT, DATA | `Retry` | `Retry` | `Refused` |
//! | text and final dot | `Unknown` | `Retry` | `Refused` |
//!
//! Text and dot leave in one piece, so a break in between cannot be told from one behind the dot: both are `Unknown`.

use std::time::Duration;

use jiff::Timestamp;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailCommand, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::{Address, Message};
use secrecy::{ExposeSecret, SecretString};

use super::{Acting, Error, heard, safe_text};
use crate::crash;
use crate::ids::IdempotencyKey;

const VENDOR: &str = "email";

/// The longest subject, in characters.
const SUBJECT_MAX_CHARS: usize = 200;
/// The longest text, in bytes.
const TEXT_MAX_BYTES: usize = 100_000;
/// How long a server may think after the final dot. (RFC 5321 grants ten minutes; a worker does not wait so long.)
const AFTER_DOT: Duration = Duration::from_secs(120);

/// How the connection is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte (port 465).
    Tls,
    /// TLS after `STARTTLS`, which must succeed (port 587).
    StartTls,
    /// None: for a server on loopback only.
    Plain,
}

/// What the client needs to know.
#[derive(Clone)]
pub struct Settings {
    /// The server's name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept private.
    pub security: Security,
    /// User name and password, where the server wants them.
    pub credentials: Option<(String, SecretString)>,
    /// The sender: `Brightslot <support@brightslot.example>`.
    pub from: String,
    /// The envelope's sender, where bounces go; `from` when absent.
    pub return_path: Option<String>,
    /// The right half of every `Message-ID`.
    pub mail_domain: String,
    /// Longest wait for each phase before the mail is handed over.
    pub timeout: Duration,
    /// How long the server may think after the final dot.
    pub after_dot: Duration,
}

impl Settings {
    /// TLS on port 465, no credentials, 20 s a phase and 120 s after the dot; the mail domain is the sender's.
    pub fn new(host: impl Into<String>, from: impl Into<String>) -> Self {
        let from = from.into();
        let mail_domain = from.rsplit('@').next().unwrap_or_default().trim_end_matches('>').to_owned();
        Self {
            host: host.into(),
            port: 465,
            security: Security::Tls,
            credentials: None,
            from,
            return_path: None,
            mail_domain,
            timeout: Duration::from_secs(20),
            after_dot: AFTER_DOT,
        }
    }
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port, security, .. } = self;
        f.debug_struct("Settings")
            .field("host", host)
            .field("port", port)
            .field("security", security)
            .finish_non_exhaustive()
    }
}

/// A mail to one person.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The one recipient, as the verified record has it.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The effect's key: the left half of the `Message-ID`.
    pub message_id: IdempotencyKey,
    /// Where an answer goes: an address that leads back to the ticket.
    pub reply_to: Option<String>,
    /// The `Message-ID` that this mail answers, with or without its brackets.
    pub in_reply_to: Option<String>,
    /// The mail's date. The same for every try, so that its bytes are too.
    pub date: Timestamp,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("message_id", &self.message_id).finish_non_exhaustive()
    }
}

/// A mail as it goes over the wire.
pub struct Composed {
    envelope: Envelope,
    bytes: Vec<u8>,
}

impl Composed {
    /// The whole mail, headers and body.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for Composed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Composed").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// The way to a mail server.
#[derive(Debug, Clone)]
pub struct Email {
    settings: Settings,
    from: Mailbox,
    return_path: Address,
}

impl Email {
    /// Checks the settings; connects not yet.
    pub fn new(settings: Settings) -> Result<Self, Error> {
        super::install_tls();
        let bad = |reason: &str| Error::refused(VENDOR, None, Some("bad_settings"), reason);
        let from: Mailbox =
            settings.from.parse().map_err(|_| bad("`from` is not an address\nhint: Name <support@shop.example>"))?;
        let return_path = match &settings.return_path {
            Some(address) => address.parse().map_err(|_| bad("`return_path` is not an address"))?,
            None => from.email.clone(),
        };
        let loopback =
            settings.host == "localhost" || settings.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        if settings.security == Security::Plain && !loopback {
            return Err(bad("mail without TLS is for loopback only\nhint: use TLS or STARTTLS"));
        }
        Ok(Self { settings, from, return_path })
    }

    /// Builds the mail's bytes. Refuses what no mail may hold: line ends in a header, a recipient that is none.
    pub fn compose(&self, mail: &Mail) -> Result<Composed, Error> {
        let bad = |reason: &str| Error::refused(VENDOR, None, Some("bad_mail"), reason);
        let one_line = |text: &str| !text.chars().any(char::is_control);
        if !one_line(&mail.subject)
            || mail.subject.chars().count() > SUBJECT_MAX_CHARS
            || mail.subject.trim().is_empty()
        {
            return Err(bad("the subject must be one line of 1 to 200 characters"));
        }
        if mail.text.len() > TEXT_MAX_BYTES || mail.text.trim().is_empty() {
            return Err(bad("the text must hold 1 to 100000 bytes"));
        }
        let to: Address = mail.to.parse().map_err(|_| bad("the recipient is not an address"))?;
        let mut builder = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to.clone()))
            .subject(mail.subject.as_str())
            .date(mail.date.into())
            .message_id(Some(format!("<{}@{}>", mail.message_id, self.settings.mail_domain)))
            .header(ContentType::TEXT_PLAIN);
        if let Some(reply_to) = &mail.reply_to {
            let reply_to: Mailbox = reply_to.parse().map_err(|_| bad("the reply address is not an address"))?;
            builder = builder.reply_to(reply_to);
        }
        if let Some(parent) = &mail.in_reply_to {
            let parent = parent.trim().trim_start_matches('<').trim_end_matches('>');
            if !one_line(parent) || parent.contains(['<', '>', ' ']) || parent.len() > 250 {
                return Err(bad("the mail to answer has no usable Message-ID"));
            }
            builder = builder.in_reply_to(format!("<{parent}>")).references(format!("<{parent}>"));
        }
        builder = raw(builder, "Auto-Submitted", "auto-generated");
        builder = raw(builder, "X-Auto-Response-Suppress", "OOF, AutoReply");
        let message = builder.body(mail.text.clone()).map_err(|_| bad("the mail cannot be built"))?;
        let envelope = Envelope::new(Some(self.return_path.clone()), vec![to]).map_err(|_| bad("nobody to send to"))?;
        Ok(Composed { envelope, bytes: message.formatted() })
    }

    /// Sends a mail; returns the server's words, which hold its queue id. `Retry`: not handed over. `Refused`: it will not
    /// be. `Unknown`: handed over, answer lost; there must be no second mail.
    pub async fn send(&self, acting: &Acting, mail: &Mail) -> Result<String, Error> {
        self.send_composed(acting, &self.compose(mail)?).await
    }

    /// The same for bytes that were built before.
    pub async fn send_composed(&self, acting: &Acting, mail: &Composed) -> Result<String, Error> {
        let place = crash::at(|| "email".to_owned());
        place.passes("mail.before");
        let mut connection = self.hand_shake(mail).await?;
        place.passes("mail.text");
        acting.may_leave()?;
        // From here on the server may have the mail.
        let answer = match tokio::time::timeout(self.settings.after_dot, connection.message(&mail.bytes)).await {
            Ok(Ok(response)) => response,
            // A farewell may be said at any moment; it does not tell whether the mail was kept.
            //
            // Source: RFC 5321, section 3.8, 2008-10.
            Ok(Err(error)) if error.status().map(u16::from) == Some(421) => {
                return Err(Error::unknown(
                    VENDOR,
                    "the mail server hung up after the mail was handed over (status 421)",
                ));
            }
            Ok(Err(error)) if error.is_permanent() || error.is_transient() => return Err(said(&error)),
            Ok(Err(error)) => {
                let reason = "the connection was lost while the mail was handed over".to_owned();
                return Err(Error::Unknown { vendor: VENDOR, after: None, reason, source: Some(Box::new(error)) });
            }
            Err(_) => return Err(Error::unknown(VENDOR, "no answer in time after the mail was handed over")),
        };
        place.passes("mail.after");
        heard(VENDOR);
        // The mail is accepted; how the connection ends does not matter.
        let _ = tokio::time::timeout(Duration::from_secs(1), connection.quit()).await;
        let words: Vec<&str> = answer.message().collect();
        Ok(safe_text(&words.join(" ")))
    }

    /// Connects and signs in, and nothing else: for a check.
    pub async fn check(&self) -> Result<(), Error> {
        let mut connection = self.phase(self.connect()).await?;
        let _ = tokio::time::timeout(Duration::from_secs(1), connection.quit()).await;
        Ok(())
    }

    /// Everything up to the server's leave to send the text.
    async fn hand_shake(&self, mail: &Composed) -> Result<AsyncSmtpConnection, Error> {
        let mut connection = self.phase(self.connect()).await?;
        let mut parameters = Vec::new();
        let plain = |address: &Address| AsRef::<str>::as_ref(address).is_ascii();
        if !mail.envelope.to().iter().chain(mail.envelope.from()).all(plain) {
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !mail.bytes.is_ascii() && connection.server_info().supports_feature(Extension::EightBitMime) {
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let from = mail.envelope.from().cloned();
        self.phase(connection.command(MailCommand::new(from, parameters))).await?;
        for to in mail.envelope.to() {
            self.phase(connection.command(Rcpt::new(to.clone(), vec![]))).await?;
        }
        self.phase(connection.command(Data)).await?;
        Ok(connection)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, lettre::transport::smtp::Error> {
        let Settings { host, port, security, credentials, mail_domain, timeout, .. } = &self.settings;
        let hello = ClientId::Domain(mail_domain.clone());
        let tls = match security {
            Security::Plain => None,
            _ => Some(TlsParameters::new(host.clone())?),
        };
        let early = tls.clone().filter(|_| *security == Security::Tls);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1((host.as_str(), *port), Some(*timeout), &hello, early, None).await?;
        if let (Security::StartTls, Some(tls)) = (security, tls) {
            connection.starttls(tls, &hello).await?;
        }
        if let Some((user, password)) = credentials {
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }

    /// A phase before the hand-over: nothing was sent, whatever happens.
    async fn phase<T>(
        &self,
        work: impl Future<Output = Result<T, lettre::transport::smtp::Error>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.settings.timeout, work).await {
            Ok(done) => done.map_err(|error| said(&error)),
            Err(_) => Err(Error::retry(VENDOR, None, "the mail server did not answer in time")),
        }
    }
}

/// What the server's own words mean; without words nothing was handed over.
fn said(error: &lettre::transport::smtp::Error) -> Error {
    let status = error.status().map(u16::from);
    let shown = status.map_or_else(String::new, |code| format!(" (status {code})"));
    if error.is_permanent() {
        return Error::refused(VENDOR, status, Some("rejected"), format!("the mail server refused{shown}"));
    }
    if error.is_transient() {
        return Error::retry(VENDOR, None, format!("the mail server asks to wait{shown}"));
    }
    if error.is_client() {
        return Error::refused(
            VENDOR,
            None,
            Some("bad_server"),
            "the mail server cannot do what the settings ask for (TLS or sign-in)",
        );
    }
    let how = if error.is_tls() { "no private connection to the mail server" } else { "cannot reach the mail server" };
    Error::retry(VENDOR, None, how)
}

fn raw(builder: MessageBuilder, name: &'static str, value: &str) -> MessageBuilder {
    builder.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned()))
}

#[cfg(test)]
mod tests;
