//! Form-encoded parameters with brackets, as Stripe reads them: flat, in order, names kept as written.

/// Parameters of a query or a body.
#[derive(Debug, Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Decodes a text; the text of the error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut pairs = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            if pairs.iter().any(|(known, _)| *known == name && !name.ends_with("[]")) {
                return Err(format!("Received the parameter {name} twice"));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The values of an array: `expand[]=a`, `expand[0]=a`.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let prefix = format!("{name}[");
        self.0.iter().filter(move |(known, _)| known.starts_with(&prefix)).map(|(_, value)| value.as_str())
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// The entries of a hash: `metadata[key]=value`.
    pub fn hash<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.iter().filter_map(move |(known, value)| {
            let key = known.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?;
            Some((key, value.as_str()))
        })
    }

    /// The same parameters in one text, whatever their order: what a key is bound to.
    pub fn fingerprint(&self) -> String {
        let mut pairs: Vec<String> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.sort();
        pairs.join("&")
    }
}

fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next(), rest.next()];
                let value = digits.iter().try_fold(0, |sum, digit| {
                    let digit = char::from((*digit)?).to_digit(16)?;
                    Some(sum * 16 + digit)
                });
                let value = value.and_then(|value| u8::try_from(value).ok());
                bytes.push(value.ok_or_else(|| format!("`{text}` is not form-encoded"))?);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| format!("`{text}` is not UTF-8"))
}
