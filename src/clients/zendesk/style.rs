//! Whether an element of a mail can be seen: the inline style and the old attributes, as far as they hide text. Only what
//! hides is understood; everything else of CSS is ignored. Style sheets do not get here: the helpdesk strips them.

/// What is inherited from the elements around.
#[derive(Debug, Clone)]
pub struct Style {
    gone: bool,
    invisible: bool,
    tiny: bool,
    color: Option<Color>,
    /// `None`: a picture or something else that is not one colour.
    background: Option<Color>,
}

type Color = [u8; 3];

/// How far two colours may differ per channel and still look the same.
const SAME_COLOR: u8 = 12;
/// Letters up to this size, in pixels, cannot be read.
const TINY_PX: f64 = 2.0;

impl Default for Style {
    /// Black on white.
    fn default() -> Self {
        Self { gone: false, invisible: false, tiny: false, color: Some([0, 0, 0]), background: Some([255, 255, 255]) }
    }
}

impl Style {
    /// Nothing inside can be seen, whatever it says itself.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Text right here can be seen.
    pub fn shows(&self) -> bool {
        let camouflaged = match (self.color, self.background) {
            (Some(a), Some(b)) => a.iter().zip(b).all(|(x, y)| x.abs_diff(y) <= SAME_COLOR),
            _ => false,
        };
        !(self.gone || self.invisible || self.tiny || camouflaged)
    }

    /// The style inside an element.
    pub fn inside<'a>(mut self, tag: &str, attr: impl Fn(&str) -> Option<&'a str>) -> Self {
        if attr("hidden").is_some() {
            self.gone = true;
        }
        if let Some(color) = attr("bgcolor").and_then(parse_color) {
            self.background = color;
        }
        if attr("background").is_some() {
            self.background = None;
        }
        if tag == "font"
            && let Some(color) = attr("color").and_then(parse_color)
        {
            self.color = color;
        }
        if let Some(style) = attr("style") {
            self.read(style);
        }
        self
    }

    fn read(&mut self, style: &str) {
        let style = plain(style);
        let mut clipped = false;
        let mut flat = false;
        for declaration in style.split(';') {
            let Some((name, value)) = declaration.split_once(':') else { continue };
            let (name, value) = (name.trim(), value.trim().trim_end_matches("!important").trim());
            match name {
                "display" => self.gone |= value == "none",
                "visibility" => self.invisible = matches!(value, "hidden" | "collapse"),
                "opacity" => {
                    self.gone |= number(value).is_some_and(|(n, unit)| n <= if unit == "%" { 5.0 } else { 0.05 })
                }
                "font-size" => self.font_size(value),
                "font" => {
                    // The size is the word that starts with a digit: `bold 0/1 serif`.
                    if let Some(size) = value.split([' ', '/']).find(|w| w.starts_with(|c: char| c.is_ascii_digit())) {
                        self.font_size(size);
                    }
                }
                "color" => {
                    if let Some(color) = parse_color(value) {
                        self.gone |= color.is_none();
                        self.color = color;
                    }
                }
                "background" | "background-color" | "background-image" => self.paint(value),
                "overflow" | "overflow-y" => clipped |= matches!(value, "hidden" | "clip"),
                "max-height" | "height" | "max-width" | "width" => {
                    flat |= number(value).is_some_and(|(n, unit)| n <= 1.0 && unit != "em" && unit != "rem");
                }
                "text-indent" | "left" | "top" | "right" | "margin-left" | "margin-top" => {
                    self.gone |= number(value).is_some_and(|(n, _)| n <= -900.0);
                }
                "clip" => self.gone |= value.starts_with("rect(0") || value.starts_with("rect(1px"),
                "clip-path" => self.gone |= value.starts_with("inset(50%") || value.starts_with("inset(100%"),
                "transform" => self.gone |= value.replace(' ', "").starts_with("scale(0)"),
                _ => {}
            }
        }
        self.gone |= clipped && flat;
    }

    fn font_size(&mut self, value: &str) {
        match number(value) {
            Some((n, "em" | "rem" | "%")) => {
                let factor = if value.ends_with('%') { n / 100.0 } else { n };
                // A relative size of something tiny stays tiny, except that `rem` counts from the page.
                self.tiny = (self.tiny && !value.ends_with("rem")) || factor * 16.0 <= TINY_PX;
            }
            Some((n, "pt")) => self.tiny = n * 4.0 / 3.0 <= TINY_PX,
            Some((n, _)) => self.tiny = n <= TINY_PX,
            None => self.tiny &= matches!(value, "inherit" | "smaller" | "larger"),
        }
    }

    fn paint(&mut self, value: &str) {
        if value.contains("url(") || value.contains("gradient(") {
            self.background = None;
        } else if let Some(Some(color)) = parse_color(value) {
            self.background = Some(color);
        }
    }
}

/// Lower case, without comments, escapes resolved.
fn plain(style: &str) -> String {
    let mut out = String::with_capacity(style.len());
    let mut rest = style;
    while let Some(start) = rest.find("/*") {
        out.push_str(&rest[..start]);
        rest = rest[start..].find("*/").map_or("", |end| &rest[start + end + 2..]);
    }
    out.push_str(rest);
    if out.contains('\\') {
        let mut resolved = String::with_capacity(out.len());
        let mut chars = out.chars().peekable();
        while let Some(c) = chars.next() {
            if c != '\\' {
                resolved.push(c);
                continue;
            }
            let mut hex = String::new();
            while hex.len() < 6
                && let Some(digit) = chars.next_if(char::is_ascii_hexdigit)
            {
                hex.push(digit);
            }
            if hex.is_empty() {
                resolved.extend(chars.next());
            } else {
                chars.next_if(|c| c.is_ascii_whitespace());
                resolved.extend(u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32));
            }
        }
        out = resolved;
    }
    out.to_ascii_lowercase()
}

/// A number and its unit.
fn number(value: &str) -> Option<(f64, &str)> {
    let end = value.find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '-' | '+'))).unwrap_or(value.len());
    Some((value[..end].parse().ok()?, value[end..].trim()))
}

/// `None`: not a colour. `Some(None)`: one that shows nothing.
fn parse_color(value: &str) -> Option<Option<Color>> {
    let value = value.trim().to_ascii_lowercase();
    let value = value.as_str();
    if let Some(hex) = value.strip_prefix('#') {
        let hex = &hex[..hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len())];
        let digit = |i: usize| u8::from_str_radix(&hex[i..=i], 16).ok();
        let pair = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).ok();
        return match hex.len() {
            4 if digit(3)? == 0 => Some(None),
            8 if pair(6)? == 0 => Some(None),
            3 | 4 => Some(Some([digit(0)? * 17, digit(1)? * 17, digit(2)? * 17])),
            6 | 8 => Some(Some([pair(0)?, pair(2)?, pair(4)?])),
            _ => None,
        };
    }
    if let Some(inner) = value.strip_prefix("rgb(").or_else(|| value.strip_prefix("rgba(")) {
        let inner = inner.split(')').next().unwrap_or_default();
        let parts: Vec<f64> =
            inner.split([',', ' ', '/']).filter(|p| !p.is_empty()).filter_map(|p| number(p).map(|(n, _)| n)).collect();
        if parts.len() >= 4 && parts[3] <= 0.05 {
            return Some(None);
        }
        let channel = |i: usize| parts.get(i).map(|n| n.clamp(0.0, 255.0) as u8);
        return Some(Some([channel(0)?, channel(1)?, channel(2)?]));
    }
    match value.split(' ').next()? {
        "white" => Some(Some([255, 255, 255])),
        "snow" | "ivory" | "ghostwhite" | "floralwhite" | "mintcream" | "azure" => Some(Some([250, 250, 250])),
        "whitesmoke" => Some(Some([245, 245, 245])),
        "black" => Some(Some([0, 0, 0])),
        "transparent" => Some(None),
        "red" => Some(Some([255, 0, 0])),
        "green" => Some(Some([0, 128, 0])),
        "blue" => Some(Some([0, 0, 255])),
        "navy" => Some(Some([0, 0, 128])),
        "gray" | "grey" => Some(Some([128, 128, 128])),
        _ => None,
    }
}
